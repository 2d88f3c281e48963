"""`jd_server`: the queue of one experiment, for workers, programs and browsers.

`app.JobServer` puts it together and `experiment.Experiment` is its data; `waiting` holds heartbeats open, `sweeper`
does what is due by the clock. `command/` starts it, and only that and `python -m jd` import from the top; the
other rooms import from `store/` and the modules of this folder.
"""
