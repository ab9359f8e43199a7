"""The HTTP API, the jobs, the command line, and the process that keeps them running."""
