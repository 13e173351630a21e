"""Prepared patients, splits and model specs in; a run folder with every finished fold out.

Never an evaluation, never a lost fold.
"""
