"""The images that the suites ask for: made of this machine's programs, and kept in a registry that mirrors the Hub."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.support.engines import busybox_tar, docker, engine, free_port, wait_until

_USERS = (
    "root:x:0:0",
    "daemon:x:1:1",
    "bin:x:2:2",
    "www-data:x:33:33",
    "operator:x:37:37",
    "postgres:x:70:70",
    "nobody:x:65534:65534",
)
_FILES = {
    "etc/passwd": "".join(f"{user}:{user.partition(':')[0]}:/:/bin/sh\n" for user in _USERS),
    "etc/group": "".join(f"{user.rpartition(':')[0]}:\n" for user in _USERS),
    "bin/bash": '#!/bin/sh\nexec sh "$@"\n',
    "var/log/dmesg": "",
    "var/opt/.keep": "",
    "hello": "#!/bin/sh\necho 'Hello from Docker!'\n",
}
_FOLDERS = {"root": 0o700, "var": 0o755, "usr": 0o755, "home": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755}
_REGISTRY = {
    "version": 0.1,
    "log": {"level": "error"},
    "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}, "delete": {"enabled": True}},
    "http": {"addr": ":5000"},
}
_COMMANDS = {
    "hello-world": ["CMD ['/hello']"],
    "python": ["CMD ['python3']", "ENV PYTHONHOME=/usr"],
    "registry": [
        "ENTRYPOINT ['registry', 'serve', '/etc/docker/registry/config.yml']",
        "EXPOSE 5000",
        "VOLUME /var/lib/registry",
    ],
}


class Mirror:
    """A registry that engines use in place of the Hub; what it holds is kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[
            :12
        ]  # after a change here, all are made again
        self._folder = folder / made_by
        self.address = f"127.0.0.1:{free_port()}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Let it serve what is in its folder."""
        config = {
            **_REGISTRY,
            "http": {"addr": self.address},
            "storage": {"filesystem": {"rootdirectory": str(self._folder)}},
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(json.dumps(config))  # YAML holds JSON
            file.flush()
            command = ["docker-registry", "serve", file.name]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_until(lambda: self._status("") == 200, "docker-registry", process)
                yield
            finally:
                process.terminate()
                process.wait()

    def provide(self, names: Iterable[str]) -> None:
        """Make those images that it has not yet."""
        missing = [name for name in names if not self._has(name)]
        if not missing:
            return
        with engine(["--bridge=none", "--iptables=false", "--ip6tables=false"], namespaces="-m") as maker:
            for name in missing:
                self._make(maker.host, name)

    def _make(self, host: str, name: str) -> None:
        here = f"{self.address}/{_path(name)}"
        changes = _COMMANDS.get(name.partition(":")[0], ["CMD ['sh']"])
        options = [word for change in changes for word in ("-c", change.replace("'", '"'))]
        docker(host, "import", *options, "-", here, input=_root(name), check=True)
        docker(host, "push", here, check=True)

    def _has(self, name: str) -> bool:
        repository, _, tag = _path(name).rpartition(":")
        return self._status(f"{repository}/manifests/{tag}") == 200

    def _status(self, path: str) -> int:
        headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        try:
            with urlopen(Request(f"http://{self.address}/v2/{path}", headers=headers), timeout=5) as answer:
                return int(answer.status)
        except HTTPError as exc:
            return exc.code
        except URLError:
            return 0


def _path(name: str) -> str:
    return name if "/" in name else f"library/{name}"


def _root(name: str) -> bytes:
    """The image's files, as a tar: busybox, users, and what else it is known for."""
    buffer = io.BytesIO(busybox_tar())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for path, mode in _FOLDERS.items():
            folder = tarfile.TarInfo(path)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
        for path, text in _FILES.items():
            _add(tar, path, text.encode())
        _add(tar, "etc/image", name.encode())  # no two images are one
        if name.startswith("python:"):
            _add_program(tar, Path(os.path.realpath("/usr/bin/python3")), "usr/bin/python3", "usr/bin/python")
            _add_library(tar)
        if name.startswith("registry:"):
            _add_program(tar, Path(shutil.which("docker-registry") or "docker-registry"), "bin/registry")
            _add(tar, "etc/docker/registry/config.yml", json.dumps(_REGISTRY).encode())
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    file = tarfile.TarInfo(path)
    file.size, file.mode = len(content), 0o755
    tar.addfile(file, io.BytesIO(content))


def _add_program(tar: tarfile.TarFile, program: Path, *names: str) -> None:
    """A program of this machine with the libraries that it loads."""
    for name in names:
        _add(tar, name, program.read_bytes())
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    for library in {word for word in done.stdout.split() if word.startswith("/")}:
        _add(tar, library.lstrip("/"), Path(library).read_bytes())


def _add_library(tar: tarfile.TarFile) -> None:
    """The standard library of this machine's Python."""
    for folder in Path("/usr/lib").glob("python3.[0-9]*"):
        tar.add(folder, str(folder).lstrip("/"), filter=_is_library)


def _is_library(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = ("__pycache__", "test", "config-", "dist-packages")
    return None if member.name.rpartition("/")[2].startswith(left_out) else member
