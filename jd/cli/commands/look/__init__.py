"""The commands of "Look": what this machine and the server know of experiments, workers and jobs."""
