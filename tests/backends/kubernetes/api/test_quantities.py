"""Amounts, as the cluster writes them."""

import pytest

from swarmlib_backends.kubernetes.api.quantities import quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("4", 4.0),
        ("0.5", 0.5),
        ("500m", 0.5),
        ("2500n", 2.5e-6),
        ("1e3", 1000.0),
        ("2k", 2000.0),
        ("64Mi", 64.0 * 2**20),
        ("1.5Gi", 1.5 * 2**30),
        ("3E", 3e18),
        ("1.", 1.0),
    ],
)
def test_an_amount_is_read(text: str, amount: float) -> None:
    assert quantity(text) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "Mi", "1Xi", "1 Gi", "one", "1kk", "٣", "9" * 40, "None"])
def test_what_is_no_amount_is_none(text: str) -> None:
    assert quantity(text) is None
