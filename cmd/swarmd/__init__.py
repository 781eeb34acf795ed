"""swarmd: the command that runs a chain of backends until it is told to end."""
