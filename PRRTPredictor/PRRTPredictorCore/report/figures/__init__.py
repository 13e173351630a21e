"""Drawing functions of the report, a module a topic: each draws on the axis it is given and returns it.

None computes a statistic, reads a file or chooses words beyond labels.
"""
