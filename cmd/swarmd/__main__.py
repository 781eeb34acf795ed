"""`python -m swarmd`: the same as the command `swarmd`."""

from .entry import main

main()
