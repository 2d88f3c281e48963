"""`jd_worker_cli`: words become a command, which is imported when it is used.

`catalog` declares the commands, `commandline` reads the words, `context` is what a command gets; each command
is a file in `commands/`. What several share stands in rooms beside that, or here. Only `python -m jd` imports
this room.
"""
