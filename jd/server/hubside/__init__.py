"""A job server that belongs to a Hub: the link to it, and a Hub in the server's own process.

`hublink.HubLink` is for every server with a Hub, `ownhub.OwnHub` for `--with-hub`; `jd.server.command` starts
them. This is the only room that knows `jd.hub`.
"""
