"""`balance`: many engines as one."""

from .balance import Balance

__all__ = ["Balance"]
