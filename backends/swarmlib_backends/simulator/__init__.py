"""A Docker engine in memory, whose containers run simulated programs."""

from ..enginekit.clock import Clock
from .process import Program, Run
from .simulator import Simulator

__all__ = ["Clock", "Program", "Run", "Simulator"]
