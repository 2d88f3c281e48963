"""What `doctor` looks at: one file for each topic, whose functions return findings.

`plan` lists all checks, `examine` makes them in processes that can be killed, and `page` shows what was
found: the command imports these three.
"""
