"""Real image registries (Debian's docker-registry) on the loopback, with a password or without."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.engines import free_port, wait_until

USER, PASSWORD = "me", "secret"
_HASHED = "$2b$04$EJwNBgJMm6pWbsXPUSlF0OdjpyzKbBz9rFzuNF/ZbIWS06UktSJsm"


@contextmanager
def registry(folder: Path, *, password: bool) -> Iterator[str]:
    """A registry on the loopback; gives its host and port."""
    address = f"127.0.0.1:{free_port()}"
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    if password:
        (folder / "users").write_text(f"{USER}:{_HASHED}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(config))  # YAML holds JSON
    if shutil.which("docker-registry") is None:
        raise RuntimeError("these tests need docker-registry, as .ci/setup installs it")
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(address), "docker-registry")
        yield address
    finally:
        running.terminate()
        running.wait()


def _answers(address: str) -> bool:
    try:
        urlopen(f"http://{address}/v2/", timeout=5).close()
    except URLError as exc:
        return getattr(exc, "code", None) == 401
    return True
