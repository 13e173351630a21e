"""TRIPOD+AI, the reporting guideline: its items, and what a run answers of each.

Never a verdict on a study: an item is filled when it is reported, well done or not.
"""
