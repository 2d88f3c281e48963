"""Jobs and their attempts: what is claimed, whose lease runs, how an attempt ends, what is tried again.

`transitions` has the one table of what may happen to a job. All rooms above use any module of it.
"""
