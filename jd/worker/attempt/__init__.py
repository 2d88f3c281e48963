"""One attempt of a job. Each room here has one side of it: how the script is called, which code that is, its
process, what it prints, its files.

`starting.Starter` begins an attempt and `attempt.Attempt` is one under way: these are for agent/ and launch/.
"""
