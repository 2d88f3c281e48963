"""Files and directories, as every program here makes and reads them.

`safedirs` says whether others may have put something in a place, `filesystems` what kind of file system it
is on, `wholefile` writes files that are there whole or not at all, `plainfile` reads what has come in their
place, and `scratch` makes temporary files. Whoever touches a disk imports them.
"""
