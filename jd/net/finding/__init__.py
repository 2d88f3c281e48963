"""Where the server of an experiment is, and what answers there.

`published` reads the file that a server wrote, of either kind; `accessfile` is the format of one of them;
`probe` tells a job server from its dashboard, a Hub and anything else.
"""
