"""Starting workers: in the foreground or forked into the background, and the loop of each process.

From outside, commands use `foreground.launch`, `background.start` and `servercheck.checked`, and ask `gpus`
what a worker sees. Nothing else in worker/ imports from here.
"""
