"""One file for each command, named after it: `run(context)` does it and returns the exit status.

`jd.cli.main` finds them by name. What several commands share lies in `jd.cli`.
"""
