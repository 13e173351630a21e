"""A registry entry and a preset in; a network or forest out, loaded and saved without pickle.

Never a training loop.
"""
