"""The headers of replies, which may come from a remote peer."""

import pytest

from swarmlib import BadAnswer
from swarmlib_backends.dockerserver.fields import MAX_HEADERS, headers_in


@pytest.mark.parametrize("count", [1, 100])
def test_headers_are_bounded_together(count: int) -> None:
    fitting = [(b"X", b"a" * (MAX_HEADERS // count - 1))] * count
    assert len(headers_in({"headers": fitting}, ())) == count
    with pytest.raises(BadAnswer, match="longer than 65536 bytes"):
        headers_in({"headers": [*fitting, (b"X", b"a" * count)]}, ())
