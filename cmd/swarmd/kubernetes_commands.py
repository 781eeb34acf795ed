"""`swarmd kubernetes`: what an account may do in a cluster, the Role that it needs, and what crashed runs have left."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from swarmlib_backends.kubernetes.api.access import Access
    from swarmlib_backends.kubernetes.api.client import Api
    from swarmlib_backends.kubernetes.api.rights import Checked, SubjectKind
    from swarmlib_backends.kubernetes.sweeping import Found

T = TypeVar("T")


def _contexts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a context."""
    try:
        from swarmlib_backends.kubernetes.api.kubeconfig import read_kubeconfig

        names = read_kubeconfig(context.params.get("kubeconfig") or "").contexts
    except Exception:  # noqa: BLE001 - a completion has nowhere to report an error
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options by which a cluster is chosen."""
    for add in (
        click.option("--namespace", metavar="NAME", default="", help="Namespace.  [default: the context's]"),
        click.option(
            "--context",
            metavar="NAME",
            default="",
            shell_complete=_contexts,
            help="Context of the kubeconfig.  [default: the current one]",
        ),
        click.option(
            "--kubeconfig",
            type=click.Path(dir_okay=False),
            default="",
            help="Kubeconfig to read.  [default: $KUBECONFIG, else ~/.kube/config]",
        ),
    ):
        command = add(command)
    return command


@click.group()
def kubernetes() -> None:
    """See what an account may do in a cluster, print the Role that it needs, and remove what crashed runs have left.

    The cluster is chosen as kubectl does it.

    \b
      swarmd kubernetes rbac --namespace ci --service-account swarmd | kubectl apply -f -
      swarmd kubernetes check --namespace ci
      swarmd kubernetes sweep --namespace ci --dry-run
    """


@kubernetes.command()
@_access_options
@json_option
def check(kubeconfig: str, context: str, namespace: str, as_json: bool) -> None:
    """Say what this account may do in the namespace, and what each missing right costs; end with 1 if one is missing.

    Rights in the whole cluster are optional: without them, the exit status is 0 all the same.
    """
    access = _access(kubeconfig, context, namespace)

    async def work(api: Api) -> tuple[str, list[Checked]]:
        from swarmlib_backends.kubernetes.api import rights

        return await rights.version(api), await rights.check(api, access.namespace)

    version, checked = _run(access, work)
    about = {"server": access.server, "version": version, "source": access.source, "namespace": access.namespace}
    if as_json:
        click.echo(json.dumps({**about, "rights": [each.as_data() for each in checked]}))
    else:
        click.echo(f"{access.server} ({version}), {access.source}, namespace {access.namespace}")
        _print_rights(checked)
    raise SystemExit(EXIT_FAILED if any(each.missing and not each.optional for each in checked) else 0)


def _print_rights(checked: list[Checked]) -> None:
    from . import show

    rows = [(each.right.label, *_words(each)) for each in checked]
    show.print_table(("resource", "allowed", "what is lost"), rows, terminal=sys.stdout.isatty())


def _words(checked: Checked) -> tuple[str, str]:
    if not checked.missing:
        return "yes", ""
    return f"no {', '.join(checked.missing)}", checked.right.loss + (" (optional)" if checked.optional else "")


@kubernetes.command()
@_access_options
@click.option("--service-account", metavar="NAME", help="Bind it to this service account.  [default: swarmd]")
@click.option("--user", metavar="NAME", help="Bind it to this user.")
@click.option("--group", metavar="NAME", help="Bind it to this group.")
@click.option("--cluster", is_flag=True, help="Add the ClusterRole with what is optional, such as to see nodes.")
@json_option
def rbac(
    kubeconfig: str,
    context: str,
    namespace: str,
    service_account: str | None,
    user: str | None,
    group: str | None,
    cluster: bool,
    as_json: bool,
) -> None:
    """Print the least Role that the backend needs in the namespace, and its RoleBinding, as YAML.

    Nothing is changed in the cluster. With --namespace, no kubeconfig is needed.
    """
    kind, name = _subject(service_account, user, group)
    place = namespace or _access(kubeconfig, context, "").namespace
    with _extra():
        import yaml

        from swarmlib_backends.kubernetes.api import rights
    made = rights.role(place, kind, name) + (rights.cluster_role(place, kind, name) if cluster else [])
    if as_json:
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    else:
        click.echo(cast("Any", yaml).safe_dump_all(made, sort_keys=False), nl=False)


def _subject(service_account: str | None, user: str | None, group: str | None) -> tuple[SubjectKind, str]:
    if len([each for each in (service_account, user, group) if each]) > 1:
        raise click.UsageError("--service-account, --user and --group can't be used together")
    if user:
        return "User", user
    return ("Group", group) if group else ("ServiceAccount", service_account or "swarmd")


@kubernetes.command()
@_access_options
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@json_option
def sweep(kubeconfig: str, context: str, namespace: str, dry_run: bool, as_json: bool) -> None:
    """Remove what crashed runs have left in the namespace: what has swarmlib's label, and no container.

    The exit status is 1 if something could not be removed, or not be looked at.
    """
    access = _access(kubeconfig, context, namespace)
    found, removed, left = _run(access, partial(_sweep, dry_run=dry_run))
    left = {**found.unseen, **left}
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "removed": removed, "not_removed": left}))
    else:
        for label in removed:
            click.echo(f"{'remove ' if dry_run else 'removed'}  {label}")
        for label, why in left.items():
            click.echo(f"not removed: {label}: {why}", err=True)
    raise SystemExit(EXIT_FAILED if left else 0)


async def _sweep(api: Api, *, dry_run: bool) -> tuple[Found, list[str], dict[str, str]]:
    """Return what was found, the labels of what was removed, and the errors of what was not."""
    from swarmlib import SwarmError
    from swarmlib_backends.kubernetes import sweeping

    found = await sweeping.orphans(api, api.access.namespace)
    removed, left = list[str](), dict[str, str]()
    for orphan in found.orphans:
        try:
            if not dry_run:
                await sweeping.remove(api, api.access.namespace, orphan)
            removed.append(orphan.label)
        except SwarmError as exc:
            left[orphan.label] = exc.message
    return found, removed, left


def _access(kubeconfig: str, context: str, namespace: str) -> Access:
    with reporting(EXIT_USAGE):
        with _extra():
            from swarmlib_backends.kubernetes.api.kubeconfig import read_access
        return read_access(kubeconfig, context, namespace)


def _run(access: Access, work: Callable[[Api], Awaitable[T]]) -> T:
    """Return the result of some work with the cluster's API. Exit if it fails."""
    import trio

    from swarmlib_backends.kubernetes.api.client import Api

    async def run() -> T:
        async with Api.open(access) as api:
            return await work(api)

    with reporting(EXIT_FAILED):
        return trio.run(run)


@contextmanager
def _extra() -> Generator[None]:
    """Say what is to be installed if an import in this context fails."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise click.ClickException(f"this needs its extra: pip install 'swarmlib[kubernetes]' ({exc})") from exc
