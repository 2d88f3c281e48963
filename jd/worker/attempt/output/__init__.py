"""What a job prints: read from its pipe, kept, sent to the server, and searched for results."""
