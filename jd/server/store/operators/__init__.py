"""What people do: create jobs, change many, set options and the PIN, sign in.

The dashboard changes jobs with `bulk` and settings with `options`; `jd.server.creation` writes with
`batches`. `pin` is for the start of the server and `jd_server pin` as well.
"""
