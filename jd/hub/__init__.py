"""`jd_hub`: users, API keys, experiments and the tokens of their workers.

`app.Hub` is the running Hub and `data.HubData` its directory; `routes` is for programs, `webroutes` and
`pages` are for browsers, `cli` and `commands` for administrators. Only `jd.server.hubside` imports this room.
"""
