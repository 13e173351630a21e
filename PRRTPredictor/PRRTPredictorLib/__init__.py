"""The Slicer glue of PRRTPredictor: from the scene, the DICOM database and the user to the science and back.

Four layers, each of which imports from itself and those before it alone. *Ground*: ``Volumes``, the only place where
DICOM's LPS meets Slicer's RAS, and what runs without Slicer as well (``Streams``, ``ProcessTree``, ``Worker``,
``LabSheet``, ``Database``, ``Dependencies``, ``Translation``). *Nodes and views*: ``Study`` and ``Hierarchy`` bring a
study into the scene; ``Scene``, ``Views``, ``Surface``, ``Display``, ``Results`` and ``Export`` show it and write it.
*Logics*: ``PredictionLogic`` and ``TrainingLogic`` on ``WorkerLogic``, and ``Headless`` with ``Messages`` for scripts
around them. *Panel*: the widgets.

Outside of ``Panel`` nothing imports qt or ctk at file scope, nor anything of ``Panel``: it runs without a window and,
but for ``Messages`` and ``Headless``, on plain slicer-core without an application. Nothing at all imports torch, monai
or sklearn: what needs them runs in a child process.
"""
