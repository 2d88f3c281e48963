"""Uploads and checkpoints, and the results that stand in them.

The routes of workers store with `files` and `results`, after `resultfile` has read the numbers; pages and
commands look files up.
"""
