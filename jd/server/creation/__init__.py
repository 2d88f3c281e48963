"""Jobs files, requests and the dashboard's form become jobs.

`batch` is what can be created, checked whole; `jobfile`, `jobtext` and `createrequest` read one;
`creator.Creator` writes it in slices. Routes and the command of the server start with these.
"""
