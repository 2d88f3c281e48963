"""Which code runs, looked up beside the job: `code.Codes`. A launch that copies code asks `repository`."""
