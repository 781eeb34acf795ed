"""Image references: what an engine says of those that are none, in its own words (tried with 20.10.24)."""

import pytest

from swarmlib import SwarmError
from swarmlib_backends.dockerapi import references


@pytest.mark.parametrize("digits", [32, 63, 65, 1000])
def test_a_digest_has_64_digits(digits: int) -> None:
    known = references.normal.cache_info().currsize
    with pytest.raises(SwarmError, match=r"^invalid checksum digest length$"):
        references.normal(f"busybox@sha256:{'a' * digits}")
    assert references.normal.cache_info().currsize == known
    assert references.normal(f"busybox:1@sha256:{'a' * 64}") == f"busybox@sha256:{'a' * 64}"
