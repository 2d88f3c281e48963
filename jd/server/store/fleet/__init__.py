"""Workers: their heartbeats, what they are told, which of them fail, how long they are remembered.

`workers.heartbeat` is what the routes of workers call; `commands` and `failing` are for the dashboard,
`retention` and `sweepend` for the sweeper.
"""
