"""What the pages of the dashboard ask: the routes below /web/, and who is signed in.

There is one file for each page or part of one, whose class `jd.server.app` puts into a router. The pages
themselves are files in `jd/server/web/`.
"""
