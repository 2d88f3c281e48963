"""Secrets: how they look, where they are kept, how they are checked.

There is one file for each kind: the shared token, API keys, worker tokens (JWT), checkpoint keys, passwords,
PINs. `hubtoken` and `tokentosend` are for clients, `trylimit`, `cookies` and `hashers` for servers.
"""
