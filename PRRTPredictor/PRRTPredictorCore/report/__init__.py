"""A run folder in; figures, tables and one self-contained report out.

``content`` reads the run, ``chapters`` say what there is to say of it (one module a chapter, in the order of the page),
``figures`` draw on the axes they are given, ``material`` gathers what chapters need besides, ``html`` and ``publish``
make page and files of the chapters. ``patient``, ``charts`` and ``overlay`` belong to a single prediction.

Never a new fit, never an identity.
"""
