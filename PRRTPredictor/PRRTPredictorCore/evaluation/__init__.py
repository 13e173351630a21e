"""Out-of-fold predictions in; metrics, tests and survival statistics out.

Never a drawing.
"""
