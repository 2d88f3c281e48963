"""One file for each command, named after it: `run(context)` does it and returns the exit status.

A group of commands may have a room of its own here, which `jd.cli.catalog` names. What several commands share
lies in `jd.cli`.
"""
