"""The sub-commands of `jd_server` that keep data: list, check, backup, restore, archive and remove.

Words in, lines out; what they do is in `jd.server.keeping`.
"""
