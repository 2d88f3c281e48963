"""Keeping an experiment's data: what is there and whether it is sound, copies of it, and its end.

For the commands of `jd_server`: `overview` lists experiments, `check` finds what is wrong and `repair`
puts it right, `backup` and `restore` copy all of it, `archive` makes a file that is read without JD,
`removal` removes it. Nothing here prints, and nothing of a server that runs is changed.
"""
