"""What goes to the server and comes back: heartbeats, results that wait on disk, the token and its renewal.

It knows nothing of scripts and processes. Rooms above use any module of it. Of the commands, `restart` asks
`tokenrenewal.authorised` for a token, and `doctor` looks into the outbox.
"""
