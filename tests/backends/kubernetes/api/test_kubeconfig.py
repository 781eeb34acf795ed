"""Kubeconfigs: which files are read, how they are merged, what they mean, and what is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Invalid
from swarmlib_backends.kubernetes.api.access import Access
from swarmlib_backends.kubernetes.api.credentials import TokenFile
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.kubeconfig_file import Kubeconfig

SECRET = "hunter2-s3cret"


def written(path: Path, *, clusters: Any = (), users: Any = (), contexts: Any = (), current: str = "") -> Path:
    """Write a kubeconfig whose lists are given as pairs of names and values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": value} for name, value in clusters],
        "users": [{"name": name, "user": value} for name, value in users],
        "contexts": [{"name": name, "context": value} for name, value in contexts],
        "current-context": current,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def one(folder: Path, *, cluster: Any = None, user: Any = None, context: Any = None) -> Path:
    """Write a kubeconfig with one context."""
    return written(
        folder / "config",
        clusters=[("c", {"server": "https://k:6443", **(cluster or {})})],
        users=[("u", user or {})],
        contexts=[("x", {"cluster": "c", "user": "u", **(context or {})})],
        current="x",
    )


def read(file: Path, environ: Mapping[str, str] | None = None, **chosen: Any) -> Access:
    return read_access(str(file), environ=environ or {}, **chosen)


def headers(access: Access) -> dict[str, str]:
    return dict(trio.run(access.credentials.shown).headers)


# Which files, which context.


def test_the_files_of_the_variable_are_merged_and_missing_ones_left_out(tmp_path: Path) -> None:
    first = written(tmp_path / "a", contexts=[("x", {"cluster": "c", "namespace": "first"})], current="x")
    second = written(
        tmp_path / "b",
        clusters=[("c", {"server": "https://second:6443"})],
        contexts=[("x", {"cluster": "other"}), ("y", {"cluster": "c"})],
        current="y",
    )
    environ = {"KUBECONFIG": f"{first}::{tmp_path / 'missing'}:{second}:{first}"}
    access = read_access(environ=environ)
    assert (access.server, access.namespace) == ("https://second:6443", "first")
    assert read_access(context="y", environ=environ).namespace == "default"
    assert read_access(context="y", namespace="mine", environ=environ).namespace == "mine"


def test_the_file_at_home_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Invalid, match=r"no cluster is chosen: there is no ~/.kube/config"):
        read_access(environ={})
    one(tmp_path / ".kube")
    assert read_access(environ={}).server == "https://k:6443"
    assert read_access(environ={"KUBECONFIG": ""}).server == "https://k:6443"
    with pytest.raises(Invalid, match="no cluster is chosen"):
        read_access(environ={"KUBECONFIG": str(tmp_path / "missing")})


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=rf"can't read the kubeconfig {tmp_path}/missing: No such file"):
        read(tmp_path / "missing")


def test_without_a_current_context_one_must_be_chosen(tmp_path: Path) -> None:
    file = written(tmp_path / "k", clusters=[("c", {"server": "https://k"})], contexts=[("x", {"cluster": "c"})])
    with pytest.raises(Invalid, match="has no current context"):
        read(file)
    assert read(file, context="x").server == "https://k"


NAMES = st.sampled_from("abc")
LISTS = st.lists(st.tuples(NAMES, st.integers(0, 9)), unique_by=lambda pair: pair[0], max_size=3)


@given(st.lists(st.tuples(LISTS, LISTS, LISTS, st.sampled_from(["", "a", "b"])), min_size=1, max_size=4))
def test_of_entries_with_one_name_the_first_file_s_counts_as_a_whole(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[Any, Any, Any, str]]
) -> None:
    folder = tmp_path_factory.mktemp("merged")
    paths = [
        written(
            folder / str(number),
            clusters=[(name, {"server": f"https://{at}"}) for name, at in clusters],
            users=[(name, {"token": str(at)}) for name, at in users],
            contexts=[(name, {"namespace": str(at)}) for name, at in contexts],
            current=current,
        )
        for number, (clusters, users, contexts, current) in enumerate(files)
    ]
    merged = Kubeconfig.read(paths)
    expected: list[dict[str, tuple[int, Path]]] = [{}, {}, {}]
    for path, (*lists, _) in zip(paths, files, strict=True):
        for found, pairs in zip(expected, lists, strict=True):
            for name, at in pairs:
                found.setdefault(name, (at, path))
    of = (
        {name: (int((each.value.server or "")[8:]), each.file) for name, each in merged.clusters.items()},
        {name: (int(each.value.token or ""), each.file) for name, each in merged.users.items()},
        {name: (int(each.value.namespace or ""), each.file) for name, each in merged.contexts.items()},
    )
    assert list(of) == expected
    assert merged.current_context == next((current for *_, current in files if current), "")


# What they mean.


def test_relative_paths_are_relative_to_their_own_file(tmp_path: Path) -> None:
    clusters = written(tmp_path / "a/config", clusters=[("c", {"server": "k", "certificate-authority": "ca.pem"})])
    users = written(
        tmp_path / "b/config",
        users=[("u", {"client-certificate": "../me.pem", "client-key": "/keys/me.pem", "tokenFile": "token"})],
        contexts=[("x", {"cluster": "c", "user": "u"})],
        current="x",
    )
    (tmp_path / "b/token").write_text(SECRET)
    access = read_access(environ={"KUBECONFIG": f"{clusters}:{users}"})
    tls = access.tls
    assert tls.ca is not None
    assert tls.certificate is not None
    assert tls.key is not None
    assert tls.ca.path == tmp_path / "a/ca.pem"
    assert tls.certificate.path == tmp_path / "b/../me.pem"
    assert tls.key.path == Path("/keys/me.pem")
    assert access.server == "https://k"  # as there is an authority
    assert headers(access) == {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("cluster", "server"),
    [
        ({"server": "https://k:6443/"}, "https://k:6443"),
        ({"server": "https://rancher/k8s/clusters/c-1"}, "https://rancher/k8s/clusters/c-1"),
        ({"server": "HTTPS://k"}, "https://k"),
        ({"server": "k:8080"}, "http://k:8080"),
        ({"server": "k:6443", "insecure-skip-tls-verify": True}, "https://k:6443"),
        ({"server": "https://[::1]:6443"}, "https://[::1]:6443"),
    ],
)
def test_the_server(cluster: Any, server: str, tmp_path: Path) -> None:
    assert read(one(tmp_path, cluster=cluster)).server == server


def test_how_a_server_is_verified(tmp_path: Path) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\n"
    data = base64.b64encode(pem).decode()
    cluster = {"certificate-authority-data": data[:8] + "\n" + data[8:], "tls-server-name": "kubernetes.default"}
    tls = read(one(tmp_path, cluster=cluster)).tls
    assert tls.ca is not None
    assert (tls.ca.data, tls.server_name, tls.verify) == (pem, "kubernetes.default", True)
    assert read(one(tmp_path, cluster={"insecure-skip-tls-verify": True})).tls.verify is False


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ({}, {}),
        ({"token": SECRET}, {"Authorization": f"Bearer {SECRET}"}),
        ({"username": "me", "password": "pä:ss"}, {"Authorization": "Basic bWU6cMOkOnNz"}),
        ({"tokenFile": "missing", "token": SECRET}, {"Authorization": f"Bearer {SECRET}"}),
        ({"token": "2026-01-02"}, {"Authorization": "Bearer 2026-01-02"}),
    ],
)
def test_who_calls(user: Any, shown: dict[str, str], tmp_path: Path) -> None:
    access = read(one(tmp_path, user=user))
    assert headers(access) == shown
    assert SECRET not in repr(access)


def test_a_date_without_quotes_is_a_text(tmp_path: Path) -> None:
    file = one(tmp_path)
    file.write_text(file.read_text().replace("user: {}", "user: {token: 2026-01-02}"))
    assert headers(read(file)) == {"Authorization": "Bearer 2026-01-02"}


def test_a_token_file_is_read_for_each_call(tmp_path: Path) -> None:
    access = read(one(tmp_path, user={"tokenFile": "token"}))
    (tmp_path / "token").write_text(" one\n")
    assert headers(access) == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("two")
    assert headers(access) == {"Authorization": "Bearer two"}


def test_impersonation(tmp_path: Path) -> None:
    user = {
        "as": "jane",
        "as-uid": "7",
        "as-groups": ["a", "b"],
        "as-user-extra": {"scopes": ["x", "y"], "example.com/a b": ["z"]},
    }
    assert read(one(tmp_path, user=user)).impersonation == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-example.com%2Fa%20b", "z"),
        ("Impersonate-Extra-scopes", "x"),
        ("Impersonate-Extra-scopes", "y"),
    )


@pytest.mark.parametrize("proxy", ["http://p:3128", "https://p", f"socks5://me:{SECRET}@p:1080"])
def test_a_proxy(proxy: str, tmp_path: Path) -> None:
    access = read(one(tmp_path, cluster={"proxy-url": proxy}), {"HTTPS_PROXY": "http://other"})
    assert access.proxy == proxy
    assert SECRET not in repr(access)
    assert read(one(tmp_path), {"HTTPS_PROXY": "other:80"}).proxy == "http://other:80"


def test_unknown_fields_are_ignored_as_by_kubectl(tmp_path: Path) -> None:
    file = one(tmp_path, cluster={"surprise": 1, "extensions": [{"name": "n", "extension": {"a": 1}}]})
    file.write_text(file.read_text() + "preferences: {colors: true}\nsurprise: [1]\n")
    assert read(file).server == "https://k:6443"


def test_json_and_nulls_are_read(tmp_path: Path) -> None:
    file = tmp_path / "k"
    cluster = {"server": "https://k", "certificate-authority": None}
    content = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": None,
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(content))
    assert read(file).server == "https://k"


# In a Pod.


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    for name, text in (("token", f"{SECRET}\n"), ("ca.crt", "PEM"), ("namespace", "ci\n")):
        (folder / name).write_text(text)
    return folder


POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBECONFIG": "/missing"}


def test_in_a_pod_its_service_account_is_used(account: Path) -> None:
    access = read_access(environ=POD, service_account=account)
    assert (access.server, access.namespace) == ("https://10.0.0.1:443", "ci")
    assert access.tls.ca is not None
    assert access.tls.ca.path == account / "ca.crt"
    assert isinstance(access.credentials, TokenFile)
    assert headers(access) == {"Authorization": f"Bearer {SECRET}"}
    assert read_access(environ={**POD, "POD_NAMESPACE": "other"}, service_account=account).namespace == "other"
    assert read_access(namespace="mine", environ=POD, service_account=account).namespace == "mine"
    six = read_access(environ={**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account=account)
    assert six.server == "https://[fd00::1]:443"


def test_in_a_pod_a_kubeconfig_comes_first(account: Path, tmp_path: Path) -> None:
    environ = {**POD, "KUBECONFIG": str(one(tmp_path / "own"))}
    assert read_access(environ=environ, service_account=account).server == "https://k:6443"


# What is refused.

PEM = base64.b64encode(b"x").decode()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"cluster": {"server": ""}}, "server must be the URL"),
        ({"cluster": {"server": "ftp://k"}}, "server must be the URL"),
        ({"cluster": {"server": "https://k:70000"}}, "server must be the URL"),
        ({"cluster": {"server": f"https://me:{SECRET}@k"}}, "server must be the URL"),
        ({"cluster": {"server": "https://k?a=b"}}, "server must be the URL"),
        ({"cluster": {"server": 6443}}, "Expected `str | null`, got `int`"),
        ({"cluster": {"insecure-skip-tls-verify": "yes"}}, "Expected `bool | null`, got `str`"),
        ({"cluster": {"proxy-url": f"ftp://me:{SECRET}@p"}}, "proxy-url must begin with"),
        ({"cluster": {"proxy-url": "p:3128"}}, "proxy-url must begin with"),
        ({"cluster": {"certificate-authority-data": SECRET}}, "certificate-authority-data is not base64"),
        (
            {"cluster": {"certificate-authority-data": PEM, "certificate-authority": "ca"}},
            "certificate-authority and certificate-authority-data can't be used together",
        ),
        (
            {"cluster": {"certificate-authority-data": PEM, "insecure-skip-tls-verify": True}},
            "insecure-skip-tls-verify and certificate-authority can't be used together",
        ),
        ({"user": {"client-certificate": "me"}}, "client-certificate and client-key are only used together"),
        ({"user": {"client-key-data": PEM}}, "client-certificate and client-key are only used together"),
        ({"user": {"token": SECRET, "username": "me"}}, "a token and a username can't be used together"),
        ({"user": {"tokenFile": "t", "password": SECRET}}, "a token and a username can't be used together"),
        ({"user": {"token": 12345678}}, "Expected `str | null`, got `int`"),
        ({"user": {"auth-provider": {"name": "gcp", "config": {"a": SECRET}}}}, "auth-provider is not supported"),
        ({"user": {"as-groups": ["a"]}}, "as-uid, as-groups and as-user-extra require as"),
        ({"user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}}, "exec requires command"),
        ({"user": {"exec": {"command": "x"}}}, "exec.apiVersion must be"),
        (
            {"user": {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}},
            "exec.apiVersion must be",
        ),
        (
            {"user": {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}}},
            "exec.interactiveMode must be one of",
        ),
        (
            {
                "user": {
                    "exec": {
                        "command": "x",
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "interactiveMode": "Always",
                    }
                }
            },
            "exec.interactiveMode can't be Always",
        ),
        (
            {
                "user": {
                    "exec": {
                        "command": "x",
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "env": [{"value": SECRET}],
                    }
                }
            },
            "a variable of exec.env requires name",
        ),
        ({"context": {"cluster": "d"}}, "names the cluster 'd', which does not exist; did you mean"),
        ({"context": {"user": "v"}}, "names the user 'v', which does not exist"),
        ({"context": {"cluster": ""}}, "it names no cluster"),
    ],
)
def test_what_can_t_be_used_is_refused_with_its_place(parts: Any, message: str, tmp_path: Path) -> None:
    file = one(tmp_path, **parts)
    with pytest.raises(Invalid) as raised:
        read(file)
    assert message.partition("; did")[0] in raised.value.message
    assert str(file) in raised.value.message
    assert SECRET not in raised.value.message


def test_a_context_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no such context: y; .*x"):
        read(one(tmp_path), context="y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"users: [{{name: u, user: {{token: {SECRET}", "is not YAML: .*, line 1, column"),
        (f"token: {SECRET}\n\tx: 1", "is not YAML"),
        (f"a: !!python/object/apply:os.system [{SECRET}]", "is not YAML"),
        ("a: &a [*a]\nusers: *a", "malformed"),
        ("a: *b", "is not YAML"),
        ("\x00", "is not YAML"),
        ("[]\n---\n[]", "is not YAML"),
        ("- a", "malformed: Expected `object`, got `array`"),
        ("clusters: {}", "malformed: Expected `array | null`, got `object`"),
        ("clusters: [{cluster: {}}]", "malformed: Object missing required field `name`"),
        ("kind: Pod", "is no kubeconfig"),
        ("apiVersion: v2", "is no kubeconfig"),
        (f"users: [{{name: {SECRET[:3]}}}, {{name: {SECRET[:3]}}}]", "there are two users with the name"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_refused_without_its_content(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_text(text)
    with pytest.raises(Invalid, match=message) as raised:
        read(file)
    assert str(file) in raised.value.message
    assert SECRET not in str(raised.value)
