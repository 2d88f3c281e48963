"""Around the start of workers: whether a script can be run, by which Python, and what is told of them."""
