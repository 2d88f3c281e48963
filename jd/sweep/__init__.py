"""Driving a sweep from Python: what `import jd` offers to programs that create jobs, wait and fetch results.

`session` knows the experiment and its server, and makes every call. Users reach the functions through `jd`;
other rooms take `session.Session` and pass it on.
"""
