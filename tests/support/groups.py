"""A group that a file of ours may be given to."""

import grp
import os
from typing import Final

GROUP: Final = grp.getgrnam("daemon") if os.geteuid() == 0 else grp.getgrgid(os.getegid())
"""Another one than ours, if we may choose: only root may."""
