"""The files of a job: whose directory it is, its checkpoint directory, and which files go to the server.

`jobfiles.JobFiles` does all of it beside the script.
"""
