"""A small client of Kubernetes' API, for what tests prepare and look at by themselves."""

import base64
import json
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

_SECONDS = 30


class Api:
    """The API of the cluster that a kubeconfig's current context names, with a token or a client's certificate."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cadata=_content(cluster, "certificate-authority").decode())
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if certificate := _content(user, "client-certificate"):
            with tempfile.NamedTemporaryFile() as file:  # the ssl module only reads files
                file.write(certificate + b"\n" + _content(user, "client-key"))
                file.flush()
                self._tls.load_cert_chain(file.name)

    def ask(self, method: str, path: str, body: object = None, type: str = "application/json") -> tuple[int, Any]:
        """The status and the JSON (or text) of an answer."""
        try:
            with self._open(method, path, body, type, _SECONDS) as answer:
                return answer.status, _read(answer)
        except HTTPError as exc:
            with exc:
                return exc.code, _read(exc)

    def value(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of an answer, which must be a success."""
        status, value = self.ask(method, path, body)
        assert 200 <= status < 300, value
        return value

    def changes(self, path: str) -> Iterator[dict[str, Any]]:
        """The events of a watch, until it ends."""
        with self._open("GET", path, None, "application/json", None) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, method: str, path: str, body: object, type: str, seconds: float | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({} if body is None else {"Content-Type": type})
        request = Request(self._server + path, data, headers, method=method)
        return urlopen(request, timeout=seconds, context=self._tls)


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in entries if each["name"] == name)


def _content(entry: dict[str, Any], name: str) -> bytes:
    """What stands in an entry's file, or as its data."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes() if name in entry else b""


def _read(answer: Any) -> Any:
    data = answer.read()
    return json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data.decode()
