"""How the script of a job is called: its interpreter, command line, variables and directory.

`commandline.calling` puts it together. Commands check scripts with `entry`, and `doctor` tries one in the
`environment` of a job.
"""
