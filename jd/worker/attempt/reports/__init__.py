"""What a job reports while it runs: the lines that it appends to the file of JD_METRICS, read, kept until the
server has them, and sent."""
