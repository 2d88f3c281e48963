"""The machine that this process is on: names, processes, cgroups, load, what a scheduler allows.

Workers, commands and access files ask here who and where a process is (`identity`), and `doctor` looks at the
rest. It knows nothing of jobs and servers.
"""
