"""Volumes in; aligned, area-averaged model inputs and the exact way back to the patient out.

Never a statistic from outside the training fold.
"""
