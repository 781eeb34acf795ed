"""What the tests of the conformance kit share."""

import pytest

from swarmlib.testing.rules import streams


@pytest.fixture
def small_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kit's big streams be of 10 MiB, of which 8 MiB may be held, as the backends' own buffers may.

    What gathers a stream holds all of it at any size, and with 100 MiB for each backend the tests would take minutes.
    """
    monkeypatch.setattr(streams, "BIG", 10 << 20)
    monkeypatch.setattr(streams, "FLAT", 8 << 20)
