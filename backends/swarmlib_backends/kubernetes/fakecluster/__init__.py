"""A cluster of the tests' own: what an apiserver says, without one."""
