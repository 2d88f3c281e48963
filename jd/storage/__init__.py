"""For servers: a SQLite file with one writer, and a directory that one process serves.

`database.Database` is the way in: operations go to its `write` and `read`. `serverlock` keeps a second server
out, `filemodes` says who may read the files, `backup` copies a database that is in use, `schema` brings it up
to date, and `damage` tells what is wrong with it. Worker registries take the last two as well.
"""
