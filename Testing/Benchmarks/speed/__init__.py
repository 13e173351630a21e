"""Side by side against what a user would pick instead: the same work, in one run, equal results first, then ratios.

``side_by_side`` says what a stage is and times it, ``machine`` measures what the machine could do at best, ``workplace``
makes the SYNTHETIC input, ``stages`` holds one module a topic, ``record`` writes speed.json, the table and the picture.
"""
