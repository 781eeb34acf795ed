"""The test suites of other people's clients, run on an engine and through swarmlib, and the page of what came of it.

`catalog.toml` says where each suite comes from and how it is run; nothing of theirs is kept in this project. See
`python -m tests.suites --help`.
"""
