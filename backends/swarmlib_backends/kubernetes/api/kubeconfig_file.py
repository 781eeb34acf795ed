"""Kubeconfig files: their form, and how several are merged. Unknown fields are ignored, as kubectl does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from swarmlib import Invalid

from ..yaml_files import read_yaml


class ExecVariable(msgspec.Struct, frozen=True):
    """A variable of a credential plug-in's environment."""

    name: str | None = None
    value: str | None = None


class ExecPlugin(msgspec.Struct, frozen=True, rename="camel"):
    """A program that prints credentials."""

    command: str | None = None
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    api_version: str | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class Extension(msgspec.Struct, frozen=True):
    """Something that is for one program only."""

    name: str
    extension: Any = None


class Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    """A cluster's address, and how it is verified."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    extensions: list[Extension] | None = None


class User(msgspec.Struct, frozen=True, rename="kebab"):
    """A user's credentials."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    impersonate: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str]] | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: Any = None
    exec: ExecPlugin | None = None


class Context(msgspec.Struct, frozen=True):
    """A cluster, a user and a namespace."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: Cluster | None = None

    @property
    def entry(self) -> Cluster:
        return self.cluster or Cluster()


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User | None = None

    @property
    def entry(self) -> User:
        return self.user or User()


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: Context | None = None

    @property
    def entry(self) -> Context:
        return self.context or Context()


class _File(msgspec.Struct, frozen=True, rename="camel"):
    """A kubeconfig file."""

    kind: str | None = None
    api_version: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = msgspec.field(default=None, name="current-context")


T = TypeVar("T")


class Entry(Generic[T]):
    """An entry of a list, with its name and the file that it comes from."""

    def __init__(self, word: str, name: str, value: T, file: Path) -> None:
        self.value = value
        self.file = file
        self.label = f"the {word} {name!r} in {file}"
        """What errors call it."""

    def path(self, text: str) -> Path:
        """Return a path that the entry holds: a relative one is relative to the file's folder."""
        return self.file.parent / text

    def mistake(self, what: str) -> Invalid:
        """Make the error about something in the entry."""
        return Invalid(f"{self.label}: {what}")


class Kubeconfig:
    """What the files say together: of several entries with one name, and of several current contexts, the first."""

    def __init__(self) -> None:
        self.clusters: dict[str, Entry[Cluster]] = {}
        self.users: dict[str, Entry[User]] = {}
        self.contexts: dict[str, Entry[Context]] = {}
        self.current_context = ""

    @classmethod
    def read(cls, files: Iterable[Path]) -> Kubeconfig:
        """Read files, the most important one first.

        Raises:
            Invalid: one can't be read, or is no kubeconfig; the error names the file, and holds nothing of its content.
        """
        merged = cls()
        for file in files:
            merged._add(_read(file), file)
        return merged

    def _add(self, read: _File, file: Path) -> None:
        clusters = _by_name("cluster", [(each.name, each.entry) for each in read.clusters or ()], file)
        users = _by_name("user", [(each.name, each.entry) for each in read.users or ()], file)
        contexts = _by_name("context", [(each.name, each.entry) for each in read.contexts or ()], file)
        self.clusters = {**clusters, **self.clusters}
        self.users = {**users, **self.users}
        self.contexts = {**contexts, **self.contexts}
        self.current_context = self.current_context or read.current_context or ""


def _by_name(word: str, pairs: Iterable[tuple[str, T]], file: Path) -> Mapping[str, Entry[T]]:
    found: dict[str, Entry[T]] = {}
    for name, value in pairs:
        if name in found:
            raise Invalid(f"{file}: there are two {word}s with the name {name!r}")
        found[name] = Entry(word, name, value, file)
    return found


def _read(file: Path) -> _File:
    what = f"the kubeconfig {file}"
    try:
        read = msgspec.convert(read_yaml(file, what) or {}, _File)
    except msgspec.ValidationError as exc:
        raise Invalid(f"{what} is malformed: {exc}") from exc
    if read.kind not in (None, "", "Config") or read.api_version not in (None, "", "v1"):
        raise Invalid(f"{file} is no kubeconfig: its kind must be Config, and its apiVersion v1")
    return read
