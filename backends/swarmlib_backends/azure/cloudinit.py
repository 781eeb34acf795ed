"""What a new machine does first: the configuration of cloud-init that installs Docker, and the user's own beside it."""

from __future__ import annotations

from collections.abc import Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Final

import orjson

from swarmlib import Invalid

_MOST: Final = 64 * 1024 - 1
"""Bytes of custom data that Azure takes."""
_TYPES: Final = {
    "#cloud-config": "cloud-config",
    "#!": "x-shellscript",
    "#cloud-boothook": "cloud-boothook",
    "#include": "x-include-url",
    "#part-handler": "part-handler",
    "## template: jinja": "jinja2",
}
"""The beginnings by which cloud-init tells what it is given, and its name for each."""


def docker(admin: str, labels: Sequence[str]) -> bytes:
    """Install Docker, as Debian and Ubuntu have it, for a user who may use it; labels: the engine's own."""
    settings = orjson.dumps({"labels": list(labels)}).decode()
    config = {
        "write_files": [{"path": "/etc/docker/daemon.json", "content": settings}],
        "package_update": True,
        "packages": ["docker.io"],
        "runcmd": [["usermod", "-aG", "docker", admin], ["systemctl", "enable", "--now", "docker"]],
    }
    return b"#cloud-config\n" + orjson.dumps(config, option=orjson.OPT_INDENT_2)  # JSON is YAML


def custom_data(*, engine_for: str, labels: Sequence[str], file: str) -> bytes:
    """The custom data of a machine: with Docker for the user `engine_for`, and with the user's own file, if named.

    Both together are a MIME message of two parts, which cloud-init merges: lists of commands and packages are joined.

    Raises:
        Invalid: the file can't be read, is none of cloud-init's, or too long.
    """
    found = [docker(engine_for, labels)] if engine_for else []
    if file:
        found.append(_read(Path(file)))
    data = found[0] if len(found) == 1 else _joined(found) if found else b""
    if len(data) > _MOST:
        raise Invalid(f"{file}: custom data of {len(data)} bytes are too long; Azure takes {_MOST}")
    return data


def _read(file: Path) -> bytes:
    try:
        found = file.read_bytes()
        _type(found)
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"can't read {file}: {exc}") from exc
    except KeyError:
        raise Invalid(f"{file} is nothing that cloud-init knows: it should begin with {', '.join(_TYPES)}") from None
    return found


def _type(data: bytes) -> str:
    text = data.decode("utf-8")
    for beginning, name in _TYPES.items():
        if text.startswith(beginning):
            return name
    raise KeyError(text[:20])


def _joined(found: list[bytes]) -> bytes:
    message = MIMEMultipart()
    for data in found:
        part = MIMEText(data.decode("utf-8"), _type(data), "utf-8")
        part["X-Merge-Type"] = "list(append)+dict(no_replace,recurse_list)+str()"
        message.attach(part)
    return message.as_bytes()
