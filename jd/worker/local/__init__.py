"""What the programs of one machine know of its workers: the registry, who is alive, how they are stopped.

Commands use all of it; a running worker uses it for its own row. It imports nothing of the other rooms.
"""
