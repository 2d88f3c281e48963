"""What the commands that drive a sweep share: the session with its server, which jobs are meant, what is
asked about them and how it is read.

Each command itself is a file in `commands/sweep/`.
"""
