"""The SQLite side of the job server: functions that `Experiment.write`, `read` and `look_up` run.

What changes something takes a `transaction.Transaction`, what only reads takes a connection. `schema` has
the tables, `jobfields` the columns of jobs that people see, `policy` the settings. `direct` is for commands
beside a running server. Nothing here knows of HTTP.
"""
