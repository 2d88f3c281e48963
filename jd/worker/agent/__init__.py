"""What a worker does next: a state machine that gets the time and does no input or output of its own.

`agent.Agent` is the whole; `currentjob`, `calls` and `leaving` are its parts. launch/ puts them together, and
nobody else imports from here.
"""
