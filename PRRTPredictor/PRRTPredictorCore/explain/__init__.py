"""A fitted model and its inputs in; saliency, lab contributions, embeddings and gradients out.

Never a refit.
"""
