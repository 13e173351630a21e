"""A model folder, one study and its labs in; a prediction and its saliency volume out.

Never a training step.
"""
