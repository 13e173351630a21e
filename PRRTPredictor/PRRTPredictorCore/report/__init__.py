"""A run folder in; figures and one self-contained report out.

Never a new fit, never an identity.
"""
