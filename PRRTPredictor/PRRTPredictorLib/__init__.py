"""The Slicer glue of PRRTPredictor: MRML nodes and scenes in Slicer's own style; never torch, monai or sklearn."""
