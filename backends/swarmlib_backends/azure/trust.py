"""The authorities that Azure's servers are trusted by: an organization's proxy shows certificates of its own."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from swarmlib import Invalid

_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Each names a file or a folder: the first two for the Azure CLI, by way of requests, the others for OpenSSL."""


def trusted(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Return the TLS context of a client, which trusts the authorities that the environment names.

    If it names none, these are the system's, and those that browsers trust.

    Raises:
        Invalid: a variable names something that can't be read, or has no certificates.
    """
    places = {name: Path(environ[name]) for name in _VARIABLES if environ.get(name)}
    if not places:
        context = httpx.create_ssl_context(trust_env=False)  # the browsers': a slim system may have none of its own
        context.load_default_certs()
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, place in places.items():
        try:
            if place.is_dir():
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except OSError as exc:
            raise Invalid(f"can't read the certificates of {name}={place}: {exc.strerror or exc}") from exc
    return context
