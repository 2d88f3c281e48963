"""What a worker knows of the machine it is on: names, processes, cgroups, load, the scheduler's limits."""
