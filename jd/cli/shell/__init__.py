"""Interactive mode: the loop that reads commands, and their history. `commands/interactive.py` begins it."""
