"""The tools in a Pod: how they get there, and the first process of a container that is started by them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from . import names
from .fields import refused
from .options import PodOptions

FOLDER: Final = "/.swarm"
"""Where a Pod has its tools."""
BUSYBOX: Final = f"{FOLDER}/busybox"
VOLUME: Final = "swarm-tools"
MOUNT: Final[dict[str, Any]] = {"name": VOLUME, "mountPath": FOLDER}
_NAMES: Final = ("shim", "runs", "search")
_SCRIPTS: Final = [Path(__file__).with_name(f"{name}.sh").read_text("utf-8") for name in _NAMES]
_SHELL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_SHELL: Final = ("SHLVL", "PWD", "OLDPWD")
"""What a shell adds to the environment."""
_OF_THE_CLUSTER: Final = (
    *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_PORT"),
    *(f"KUBERNETES_PORT_443_TCP{end}" for end in ("", "_ADDR", "_PORT", "_PROTO")),
)
"""What Kubernetes adds to the environment, for programs that use its API."""


def in_shell(entry: str) -> bool:
    """Return whether an entry sets a variable that a shell passes on; others are set behind it."""
    return "=" in entry and _is_shell_name(entry.partition("=")[0])


def _is_shell_name(name: str) -> bool:
    return _SHELL_NAME.fullmatch(name) is not None


def doubled(words: Sequence[str]) -> list[str]:
    """Return words in which Kubernetes finds no variable to expand: it reads `$(NAME)`, and `$$` as `$`."""
    return [word.replace("$", "$$") for word in words]


def init_container(options: PodOptions, domains: Sequence[str]) -> dict[str, Any]:
    """Return the init container that brings the tools. domains: those that the Pod's container searches first."""
    scripts = [f'/bin/busybox echo "${number}" >{FOLDER}/{name}' for number, name in enumerate(_NAMES, 1)]
    fifo = [f"/bin/busybox mkfifo -m 666 {FOLDER}/stderr"] if options.capture else []
    search = f'shift {len(_NAMES)} && {BUSYBOX} sh {FOLDER}/search "$@"'
    script = " && ".join([f"/bin/busybox cp /bin/busybox {BUSYBOX}", *scripts, *fifo, search])
    return {
        "name": VOLUME,
        "image": options.tools_image,
        "imagePullPolicy": "IfNotPresent",
        "command": doubled(("/bin/busybox", "sh", "-c", script, "sh", *_SCRIPTS, *domains)),
        "volumeMounts": [MOUNT],
    }


def stderr_container(options: PodOptions, *, again: bool) -> dict[str, Any]:
    """Return the container that writes what Docker's own writes to stderr.

    again: whether that one may be restarted.
    """
    return {
        "name": names.STDERR,
        "image": options.tools_image,
        "imagePullPolicy": "IfNotPresent",
        "command": [BUSYBOX, "sh", f"{FOLDER}/shim", "-r", *([] if again else ["once"])],
        "volumeMounts": [MOUNT],
    }


def command(
    words: Sequence[str],
    env: Sequence[str],
    *,
    waits: Literal["", "gate", "keep"],
    stdin: bool,
    capture: bool,
    options: PodOptions,
) -> list[str]:
    """Return the command of a container that is started by the shim.

    words: of its own command. env: its environment, with the image's. waits: whether it waits until its run may begin
    (`gate`), and again for the next one when it has ended (`keep`). stdin: whether the command gets the input.
    capture: whether its stderr is written by the container beside it.

    Raises:
        Unsupported: the command and the environment can't be had together.
    """
    made, behind = _environment(words, env, options)
    script = [f"{FOLDER}/runs", waits] if waits else [f"{FOLDER}/shim"]
    flags = [*(["-c"] if capture else []), *([] if stdin else ["-n"])]
    return [BUSYBOX, "sh", *script, *flags, *made, "--", *words, *behind]


def exec_command(
    words: Sequence[str], env: Sequence[str], own: Sequence[str], *, user: str, folder: str, options: PodOptions
) -> list[str]:
    """Return the command of a process beside a container's own, started by the shim.

    words: of its own command. env: the container's environment; own: what the process has besides. user: as Docker
    names one, and folder: where it works; "" for the container's.

    Raises:
        Unsupported: the command and the environment can't be had together.
    """
    made, behind = _environment(words, [*env, *own], options)
    given = [entry for entry in own if in_shell(entry)]
    setting = [BUSYBOX, "env", *given] if given else []
    place = [*(["-w", folder] if folder else []), *(["-s", user] if user else [])]
    return [*setting, BUSYBOX, "sh", f"{FOLDER}/shim", "-x", *place, *made, "--", *words, *behind]


def _environment(words: Sequence[str], env: Sequence[str], options: PodOptions) -> tuple[list[str], list[str]]:
    """Return the shim's options that make an environment, and the variables that follow the command."""
    named = {entry.partition("=")[0]: entry for entry in env}
    removed = [name for name, entry in named.items() if "=" not in entry]
    if strange := [name for name in removed if not _is_shell_name(name)]:
        raise refused((f"Env {strange[0]!r:.80}", "a shell can't remove a variable of this name"))
    hidden = [*_OF_THE_SHELL, *(() if options.service_account else _OF_THE_CLUSTER)]
    unset = [*removed, *(each for each in hidden if each not in named)]
    behind = [entry for entry in named.values() if "=" in entry and not in_shell(entry)]
    if behind and "=" in words[0]:
        raise refused((f"the command {words[0]!r:.80} with the variable {behind[0]!r:.80}", "rename one of them"))
    unsetting = [word for name in unset for word in ("-u", name)]
    return [*unsetting, *(["-e", str(len(behind))] if behind else [])], behind


def pre_stop(number: int) -> dict[str, Any]:
    """Return the hook that ends a container by its own signal, and gives it its time before Kubernetes sends TERM."""
    script = f'p=$({BUSYBOX} cat {FOLDER}/pid) && kill -{number} "$p"; while kill -0 "$p"; do {BUSYBOX} sleep 0.1; done'
    return {"exec": {"command": [BUSYBOX, "sh", "-c", script]}}  # Kubernetes expands nothing in a hook
