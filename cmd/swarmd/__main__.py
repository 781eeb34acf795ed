"""`python -m swarmd`: the same as the command `swarmd`."""

from .cli import main

main()
