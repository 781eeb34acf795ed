"""The backends that come with swarmlib."""
