"""One worker: it claims jobs from a server, runs their scripts and reports the results.

A launch (launch/) starts processes. Each has an agent (agent/), which runs attempts (attempt/), speaks to
the server (uplink/) and shows itself to other programs of its machine (local/). A room imports from the
rooms that come after it in this list, and from the modules of this folder. Commands start workers with
launch/ and look after them with local/.
"""
