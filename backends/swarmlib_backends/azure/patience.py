"""How long the backend waits for Azure, in seconds, where Azure itself doesn't say it."""

SETTLE_SECONDS = 2.0
"""The pause after which a list or a request that got no answer is looked at again."""
RETRY_SECONDS = 10.0
"""The pause between two attempts to remove what is still reserved or busy."""
RESERVED_SECONDS = 300.0
"""For how long removals are repeated. Azure reserves the interface of a machine that it refused for 180 s."""
KEYS_SECONDS = 600.0
"""How long a machine may take to tell its ssh host keys, and how long one that did not tell them is not asked again."""
LOG_SECONDS = 30.0
"""The pause between two looks at a machine's boot log."""
