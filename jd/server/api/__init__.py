"""What workers, their scripts and programs ask the job server.

`worker_routes`, `job_routes` and `prometheus` have the handlers; `access` and `addressee` decide who is let
in. `jd.server.app` puts them together. `jd.server.command` uses `access` for what was said at the start.
"""
