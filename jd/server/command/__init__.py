"""`jd_server`: options and variables become a running server, or a change to its data.

It starts in `cli`; `pincommand` and `checkpointcommand` are its sub-commands. The rest is what a start needs:
certificate, access file, published URL, PIN. Nothing else imports this room.
"""
