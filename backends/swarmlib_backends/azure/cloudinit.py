"""What a new machine does first: the cloud-init configuration that installs Docker, merged with the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Final

import orjson

from swarmlib import Invalid

_MOST: Final = 64 * 1024 - 1
"""The size limit of custom data in Azure, in bytes."""
_TYPES: Final = {
    "#cloud-config": "cloud-config",
    "#!": "x-shellscript",
    "#cloud-boothook": "cloud-boothook",
    "#include": "x-include-url",
    "#part-handler": "part-handler",
    "## template: jinja": "jinja2",
}
"""The first words by which cloud-init recognises a format, and its MIME subtype for each."""
_CERTIFICATES: Final = "/etc/docker/certs"
_FILES: Final = ("ca", "cert", "key")
_TLS: Final[dict[str, object]] = {"hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2376"], "tlsverify": True}
_UNIT: Final = {
    # The unit of Debian and Ubuntu sets the listening address by an option, which must not be given twice.
    "path": "/etc/systemd/system/docker.service.d/swarmlib.conf",
    "content": "[Service]\nExecStart=\nExecStart=dockerd --containerd=/run/containerd/containerd.sock\n",
}


def docker(admin: str, labels: Sequence[str], *, tls: bool) -> bytes:
    """Return the configuration that installs Docker from the distribution, for a user who may use it.

    labels: the engine's own. tls: also listen on port 2376, for clients with a certificate (see `certificates`).
    """
    settings: dict[str, object] = {"labels": list(labels)}
    if tls:
        settings |= _TLS | {f"tls{name.replace('ca', 'cacert')}": f"{_CERTIFICATES}/{name}.pem" for name in _FILES}
    files = [{"path": "/etc/docker/daemon.json", "content": orjson.dumps(settings).decode()}]
    config = {
        "write_files": [*files, *([_UNIT] if tls else [])],
        "package_update": True,
        "packages": ["docker.io"],
        "runcmd": [["usermod", "-aG", "docker", admin], ["systemctl", "enable", "--now", "docker"]],
    }
    return _config(config)


def certificates(ca: bytes, cert: bytes, key: bytes) -> bytes:
    """Return the configuration that puts the engine's certificates (PEM) where the one of `docker` expects them."""
    contents = zip(_FILES, (ca, cert, key), strict=True)
    files = [
        {"path": f"{_CERTIFICATES}/{name}.pem", "content": content.decode(), "permissions": "0600"}
        for name, content in contents
    ]
    return _config({"write_files": files})


def _config(config: Mapping[str, object]) -> bytes:
    return b"#cloud-config\n" + orjson.dumps(config, option=orjson.OPT_INDENT_2)  # JSON is YAML


def custom_data(parts: Sequence[bytes]) -> bytes:
    """Return the custom data of a machine.

    Several parts become a MIME message, which cloud-init merges: lists of commands, packages and files are joined.

    Raises:
        Invalid: the data exceeds Azure's limit.
    """
    data = parts[0] if len(parts) == 1 else _joined(parts) if parts else b""
    if len(data) > _MOST:
        raise Invalid(f"the custom data has {len(data)} bytes: the maximum is {_MOST}")
    return data


def read(file: Path) -> bytes:
    """Read the user's own cloud-init file.

    Raises:
        Invalid: the file can't be read, or has a format that cloud-init doesn't know.
    """
    try:
        found = file.read_bytes()
        _type(found)
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"can't read {file}: {exc}") from exc
    except KeyError:
        raise Invalid(f"{file} is not a file for cloud-init: expected it to begin with {', '.join(_TYPES)}") from None
    return found


def _type(data: bytes) -> str:
    text = data.decode("utf-8")
    for beginning, name in _TYPES.items():
        if text.startswith(beginning):
            return name
    raise KeyError(text[:20])


def _joined(found: Sequence[bytes]) -> bytes:
    message = MIMEMultipart()
    for data in found:
        part = MIMEText(data.decode("utf-8"), _type(data), "utf-8")
        part["X-Merge-Type"] = "list(append)+dict(no_replace,recurse_list)+str()"
        message.attach(part)
    return message.as_bytes()
