"""Side by side against what a user would pick instead: the same work in one run, equal results first, then ratios.

``side_by_side`` says what a stage is and times it, ``memory`` what it needs; ``machine`` measures what could be had at
best; ``workplace`` makes the SYNTHETIC input; ``stages`` holds one module a topic; ``record`` and ``pictures`` write
speed.json, the table and the figures.
"""
