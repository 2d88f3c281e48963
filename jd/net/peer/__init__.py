"""Who is at the other end of a connection, as the kernel or a proof of the shared token tells.

`portowner` is for clients, before they send a token; `socketowner` asks the kernel, for both sides; `proof`
is for connections between machines.
"""
