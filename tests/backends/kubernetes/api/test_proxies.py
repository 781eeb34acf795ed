"""The proxy of the environment, by the rules of Go's httpproxy."""

from __future__ import annotations

import pytest

from swarmlib_backends.kubernetes.api.proxies import proxy_of

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("server", "environ", "proxy"),
    [
        ("https://k", {}, ""),
        ("https://k", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://k", {"https_proxy": "proxy:3128"}, PROXY),
        ("https://k", {"HTTP_PROXY": PROXY}, ""),
        ("http://k", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://localhost:6443", {"HTTPS_PROXY": PROXY}, ""),
        ("https://127.0.0.2", {"HTTPS_PROXY": PROXY}, ""),
        ("https://[::1]", {"HTTPS_PROXY": PROXY}, ""),
    ],
)
def test_which_variable(server: str, environ: dict[str, str], proxy: str) -> None:
    assert proxy_of(server, environ) == proxy


@pytest.mark.parametrize(
    ("server", "rules", "excepted"),
    [
        ("https://k.example.com", "*", True),
        ("https://k.example.com", "example.com", True),
        ("https://example.com", "example.com", True),
        ("https://badexample.com", "example.com", False),
        ("https://k.example.com", ".example.com", True),
        ("https://example.com", ".example.com", False),
        ("https://k.example.com", "*.example.com", True),
        ("https://K.Example.com", "a, EXAMPLE.COM", True),
        ("https://example.com:6443", "example.com:6443", True),
        ("https://example.com", "example.com:6443", False),
        ("https://example.com", "example.com:443", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", True),
        ("https://10.1.2.3:6443", "10.1.2.3:443", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://k", "10.0.0.0/8,,k/8", False),
    ],
)
def test_exceptions(server: str, rules: str, excepted: bool) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        assert proxy_of(server, {"HTTPS_PROXY": PROXY, name: rules}) == ("" if excepted else PROXY)
