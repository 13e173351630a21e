"""The science of PRRTPredictor: from DICOM files and blood values to a prediction, without Slicer.

Rooms, in the order in which data flows: ``dicom``, ``cohort``, ``imaging``, ``models``, ``training``, ``evaluation``,
``explain``, ``prediction``, ``report``; ``cli`` is the front door. A room imports only rooms before it.
"""

__version__ = "0.1.0"
