"""One attempt of a job: its directory and environment, its process, its checkpoint and its output files.

`starting.Starter` begins an attempt and `attempt.Attempt` is one under way: these are for agent/ and launch/.
Commands check scripts with `entry`, and `doctor` tries one in the `environment` of a job.
"""
