"""`warm=true`: an interpreter that is started once, has imported what jobs need, and forks for each of them.

`warming.Warm` is for `starting.Starter`. `interpreter` is the program inside the script's own Python.
"""
