"""Kubeconfig as kubectl reads it: which files, which context, and the access that these mean.

    access = read_access(context="ci")

Without a context in any file, a program in a Pod uses its service account.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from swarmlib import Invalid
from swarmlib.suggestions import nearest

from .access import Access
from .credentials import Credentials, Fixed, Shown, TokenFile, basic, bearer
from .exec_plugin import VERSIONS, Plugin, PluginCredentials
from .kubeconfig_file import Cluster, Context, Entry, ExecPlugin, Kubeconfig, User
from .proxies import proxy_of
from .tls import Pem, Tls

T = TypeVar("T")

_HOME: Final = "~/.kube/config"
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MODES: Final = ("Never", "IfAvailable", "Always")
_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
"""The extension of a cluster that holds what its credential plug-in is told of it."""
_PROXIES: Final = ("http", "https", "socks5", "socks5h")


def read_access(
    kubeconfig: str = "",
    context: str = "",
    namespace: str = "",
    environ: Mapping[str, str] = os.environ,
    service_account: Path = _SERVICE_ACCOUNT,
) -> Access:
    """Return the access that kubectl would use.

    kubeconfig: a file, instead of those in $KUBECONFIG or of ~/.kube/config. context, namespace: instead of the current
    ones. service_account: the folder with a Pod's credentials.

    Raises:
        Invalid: a file is missing or malformed, or what it says can't be used; the error says where and what.
    """
    files = list(_files(kubeconfig, environ))
    config = Kubeconfig.read(files)
    chosen = context or config.current_context
    if chosen:
        return _access(config, chosen, namespace, environ)
    if _in_cluster(environ, service_account):
        return _of_service_account(environ, service_account, namespace)
    where = f"{', '.join(map(str, files))} has no current context" if files else f"there is no {_HOME}"
    raise Invalid(f"no cluster is chosen: {where}; use --kubeconfig, --context or $KUBECONFIG")


def read_kubeconfig(kubeconfig: str = "", environ: Mapping[str, str] = os.environ) -> Kubeconfig:
    """Return what the files say together that `read_access` would read. Raises Invalid as it does."""
    return Kubeconfig.read(_files(kubeconfig, environ))


def _files(kubeconfig: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Give the files to read. Of those that are only looked for, missing ones are left out."""
    if kubeconfig:
        yield Path(kubeconfig).expanduser().absolute()
        return
    listed = environ.get("KUBECONFIG", "").split(os.pathsep)
    for name in dict.fromkeys(each for each in listed if each) or [_HOME]:
        file = Path(name).expanduser().absolute() if name == _HOME else Path(name).absolute()
        if file.exists():
            yield file


def _access(config: Kubeconfig, name: str, namespace: str, environ: Mapping[str, str]) -> Access:
    context = _entry(config.contexts, name, "context")
    if not context.value.cluster:
        raise context.mistake("it names no cluster")
    cluster = _entry(config.clusters, context.value.cluster, "cluster", context)
    user = _entry(config.users, context.value.user, "user", context) if context.value.user else None
    tls = _tls(cluster, user)
    server = _server(cluster, tls)
    return Access(
        server=server,
        namespace=namespace or context.value.namespace or "default",
        tls=tls,
        credentials=_credentials(user, cluster, tls) if user else Fixed(),
        proxy=_proxy(cluster) or proxy_of(server, environ),
        impersonation=tuple(_impersonation(user)) if user else (),
        source=context.label,
    )


def _entry(entries: Mapping[str, Entry[T]], name: str, word: str, context: Entry[Context] | None = None) -> Entry[T]:
    if name not in entries:
        where = f"{context.label} names the {word} {name!r}, which does not exist" if context else ""
        raise Invalid(f"{where or f'no such {word}: {name}'}; {nearest(name, sorted(entries))}")
    return entries[name]


def _server(cluster: Entry[Cluster], tls: Tls) -> str:
    text = cluster.value.server or ""
    secure = tls.ca is not None or tls.certificate is not None or not tls.verify
    url = _plain_url(text if "://" in text else f"{'https' if secure else 'http'}://{text}")
    if not url:
        raise cluster.mistake("server must be the URL of an apiserver, such as https://HOST:6443")
    return url


def _plain_url(text: str) -> str:
    """Return an HTTP URL of a host, and perhaps a port and a path; "" if the text is anything else."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return ""
    odd = parts.query or parts.fragment or "@" in parts.netloc or port == 0
    return "" if odd or parts.scheme not in ("http", "https") or not parts.hostname else parts.geturl().rstrip("/")


def _proxy(cluster: Entry[Cluster]) -> str:
    proxy = cluster.value.proxy_url or ""
    if proxy and urlsplit(proxy).scheme not in _PROXIES:
        raise cluster.mistake(f"proxy-url must begin with {'://, '.join(_PROXIES[:-1])}://")
    return proxy


def _tls(cluster: Entry[Cluster], user: Entry[User] | None) -> Tls:
    of = cluster.value
    ca = _pem(cluster, "certificate-authority", of.certificate_authority, of.certificate_authority_data)
    if ca and of.insecure_skip_tls_verify:
        raise cluster.mistake("insecure-skip-tls-verify and certificate-authority can't be used together")
    certificate = key = None
    if user:
        own = user.value
        certificate = _pem(user, "client-certificate", own.client_certificate, own.client_certificate_data)
        key = _pem(user, "client-key", own.client_key, own.client_key_data)
        if (certificate is None) != (key is None):
            raise user.mistake("client-certificate and client-key are only used together")
    return Tls(ca, certificate, key, of.tls_server_name or "", verify=not of.insecure_skip_tls_verify)


def _pem(entry: Entry[T], field: str, path: str | None, data: str | None) -> Pem | None:
    if data and path:
        raise entry.mistake(f"{field} and {field}-data can't be used together")
    if path:
        return Pem(f"{field} of {entry.label}", entry.path(path))
    if not data:
        return None
    try:
        pem = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise entry.mistake(f"{field}-data is not base64") from None
    return Pem(f"{field}-data of {entry.label}", None, pem)


def _credentials(user: Entry[User], cluster: Entry[Cluster], tls: Tls) -> Credentials:
    of = user.value
    if of.auth_provider is not None:
        raise user.mistake("auth-provider is not supported, nor is it by kubectl since 1.26; use an exec plug-in")
    if (of.token or of.token_file) and (of.username or of.password):
        raise user.mistake("a token and a username can't be used together")
    plugin = _plugin(user, of.exec, cluster, tls) if of.exec else None
    if of.token_file:
        return TokenFile(user.path(of.token_file), f"tokenFile of {user.label}", of.token or "")
    if of.token:
        return Fixed(Shown(bearer(of.token)))
    if of.username or of.password:
        return Fixed(Shown(basic(of.username or "", of.password or "")))
    return PluginCredentials(plugin) if plugin else Fixed()


def _plugin(user: Entry[User], of: ExecPlugin, cluster: Entry[Cluster], tls: Tls) -> Plugin:
    if not of.command:
        raise user.mistake("exec requires command")
    if of.api_version not in VERSIONS:
        raise user.mistake(f"exec.apiVersion must be {' or '.join(VERSIONS)}")
    if of.interactive_mode not in (*_MODES, *([None, ""] if of.api_version != VERSIONS[0] else [])):
        raise user.mistake(f"exec.interactiveMode must be one of {', '.join(_MODES)}")
    if of.interactive_mode == "Always":
        raise user.mistake("exec.interactiveMode can't be Always: swarmd has no terminal for a credential plug-in")
    environ = {each.name or "": each.value or "" for each in of.env or ()}
    if "" in environ:
        raise user.mistake("a variable of exec.env requires name")
    return Plugin(
        label=user.label,
        # A name without a slash is looked for in PATH.
        command=str(user.path(of.command)) if os.sep in of.command else of.command,
        args=of.args or (),
        environ=environ,
        version=of.api_version,
        cluster=_told(cluster, tls) if of.provide_cluster_info else None,
        hint=of.install_hint or "",
    )


def _told(cluster: Entry[Cluster], tls: Tls) -> dict[str, Any]:
    """Return what a credential plug-in is told of the cluster."""
    of = cluster.value
    own = [each.extension for each in of.extensions or () if each.name == _EXEC_EXTENSION]
    told = {
        "server": of.server,
        "tls-server-name": of.tls_server_name,
        "insecure-skip-tls-verify": of.insecure_skip_tls_verify,
        "certificate-authority-data": base64.b64encode(tls.ca.read()).decode() if tls.ca else None,
        "proxy-url": of.proxy_url,
        "config": own[0] if own else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _impersonation(user: Entry[User]) -> Iterator[tuple[str, str]]:
    of = user.value
    if not of.impersonate and (of.as_uid or of.as_groups or of.as_user_extra):
        raise user.mistake("as-uid, as-groups and as-user-extra require as")
    if of.impersonate:
        yield "Impersonate-User", of.impersonate
    if of.as_uid:
        yield "Impersonate-Uid", of.as_uid
    for group in of.as_groups or ():
        yield "Impersonate-Group", group
    for name, values in (of.as_user_extra or {}).items():
        for value in values:
            yield f"Impersonate-Extra-{quote(name, safe='')}", value


def _in_cluster(environ: Mapping[str, str], folder: Path) -> bool:
    address = environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT")
    return bool(address) and (folder / "token").is_file()


def _of_service_account(environ: Mapping[str, str], folder: Path, namespace: str) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    try:
        own = environ.get("POD_NAMESPACE") or (folder / "namespace").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        own = ""
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        server=server,
        namespace=namespace or own or "default",
        tls=Tls(Pem("the authority of the service account", folder / "ca.crt")),
        credentials=TokenFile(folder / "token", f"the service account's {folder / 'token'}"),
        proxy=proxy_of(server, environ),
        source=f"the service account in {folder}",
    )
