"""`jd_server`: the queue of one experiment, for workers, programs and browsers.

`app.JobServer` puts it together and `experiment.Experiment` is its data; `waiting` holds heartbeats open,
`sweeper` does what is due by the clock. It starts in `command/`. Nothing else in `jd` imports this room.
"""
