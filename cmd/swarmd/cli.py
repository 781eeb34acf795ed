"""The command line of swarmd: what it accepts, and how it reports errors.

Only click is imported at the top: `swarmd --help` and shell completion must be fast. Each subcommand imports the
modules that it needs; `serve` runs a chain, `show` describes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from . import controlling
from .audit_commands import audit
from .held_commands import approve, deny, pending
from .kubernetes_commands import kubernetes
from .parameters import duration
from .policy_commands import policy
from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting
from .tenant_commands import tenant

if TYPE_CHECKING:
    from types import ModuleType

    from swarmlib import Chain
    from swarmlib_backends.azure import Azure


_words = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CHAIN...")
_SOCKET: Final = "/run/swarmd.sock"
"""Where `swarmd stdio` looks for a listen."""
_RAW: Final = {"allow_interspersed_args": False}


class _ChainGroup(click.Group):
    """A group in which `swarmd CHAIN...` is short for `swarmd run CHAIN...`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            return "run", self.get_command(ctx, "run"), args
        return super().resolve_command(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "CHAIN... | COMMAND [ARGS]..."]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from swarmlib import registry

        backends = [CompletionItem(name) for name in registry.names() if name.startswith(incomplete)]
        return super().shell_complete(ctx, incomplete) + backends


@click.group(cls=_ChainGroup, context_settings={**_RAW, "help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log more to stderr, with tracebacks.")
@click.version_option(package_name="swarmlib", prog_name="swarmd")
def cli(verbose: bool) -> None:
    """Run a chain of backends until Ctrl-C.

    A chain is a row of backends, each of which sends requests to the next. Each argument is one stage with its own
    arguments, in quotes; one argument may also hold several stages, joined by '|'.

    \b
    A Docker API over the processes of this machine, with a line for each call:
      swarmd "dockerserver unix://$PWD/swarm.sock" debug exec
      docker -H "unix://$PWD/swarm.sock" run --rm any echo hello

    \b
    A single Docker API over two engines:
      swarmd 'dockerserver unix:///tmp/all.sock' \\
             'balance "docker unix:///var/run/docker.sock" "docker ssh://me@host"'

    \b
    A chain cut in two, joined by ssh (or TLS: see 'swarmd certs --help'):
      on b:  swarmd 'listen unix:///run/swarmd.sock' docker
      here:  swarmd 'dockerserver unix:///tmp/b.sock' 'remote ssh://b'

    \b
    See what there is, and what a chain means before running it; and keep it in a file:
      swarmd backends
      swarmd backends balance
      swarmd check 'dockerserver unix:///run/swarm.sock | debug --json | exec'
      swarmd run -f chain.toml

    \b
    Enable shell completion (for bash; zsh and fish likewise):
      eval "$(_SWARMD_COMPLETE=bash_source swarmd)"

    The exit status is 0, 130 after SIGINT, 143 after SIGTERM, 1 if a stage fails, or 2 if the chain is wrong.
    """
    from . import logs

    logs.set_up(logging.INFO if verbose else logging.WARNING)


@cli.command(context_settings=_RAW)
@click.option("-f", "--file", type=click.Path(path_type=Path), help="Read the chain from a TOML file.")
@click.option(
    "--control",
    envvar=controlling.VARIABLE,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"Control socket to make, mode 0600.  [default: ${controlling.VARIABLE}, else one by convention if needed]",
)
@_words
def run(file: Path | None, control: Path | None, words: tuple[str, ...]) -> None:
    """Run a chain until Ctrl-C.

    If a stage offers something to the operator, such as held calls to approve, commands reach it by a control socket in
    /run/swarmd or $XDG_RUNTIME_DIR/swarmd.
    """
    with reporting(EXIT_USAGE):
        chain = _read(words, file)
        _needs_source(chain)
    from .serve import run_until_signal, serve

    with reporting(EXIT_FAILED):
        raise SystemExit(run_until_signal(partial(serve, chain, control)))


@cli.command(context_settings=_RAW)
@click.option("--to", metavar="URL", help=f"Address of the listen stage.  [default: unix://{_SOCKET}]")
@_words
def stdio(to: str | None, words: tuple[str, ...]) -> None:
    """Serve one peer on stdin and stdout.

    ssh runs this command on the remote machine for 'remote ssh://HOST'. Without CHAIN, it connects the peer to a listen
    stage that runs on this machine. With CHAIN, it runs that chain until the peer disconnects.

    \b
      here:   swarmd 'dockerserver unix:///tmp/b.sock' 'remote ssh://b'
      on b:   swarmd 'listen unix:///run/swarmd.sock' docker
    \b
      only here, if swarmd is installed on b but not running:
              swarmd 'dockerserver unix:///tmp/b.sock' 'remote ssh://b --run docker'
    """
    if words and to:
        raise click.UsageError("CHAIN and --to can't be used together")
    with reporting(EXIT_USAGE):
        from .stdio import RelayAddress, relay, serve_peer

        if words:
            chain = _read(words, None)
            _needs_no_source(chain)
            work = partial(serve_peer, chain)
        else:
            work = partial(relay, RelayAddress.read(to or f"unix://{_SOCKET}"))
    from .serve import run_until_signal

    with reporting(EXIT_FAILED):
        raise SystemExit(run_until_signal(work))


@cli.command()
@json_option
@click.option("-f", "--file", type=click.Path(path_type=Path), help="Read the chain from a TOML file.")
@_words
def check(as_json: bool, file: Path | None, words: tuple[str, ...]) -> None:
    """Explain a chain without running it: each stage and its arguments."""
    with reporting(EXIT_USAGE):
        chain = _read(words, file)
    from . import show

    click.echo(show.as_json(show.plain(chain)) if as_json else show.chain_text(chain))


@cli.command()
@click.argument("name", required=False)
@json_option
def backends(name: str | None, as_json: bool) -> None:
    """List the installed backends, or explain the backend NAME in full."""
    from . import show

    with reporting(EXIT_USAGE):
        found = [show.backend(name)] if name else show.backends()
    if as_json:
        click.echo(show.as_json(found[0] if name else found))
    elif name:
        click.echo(show.backend_text(found[0]))
    else:
        show.print_backends(found, terminal=sys.stdout.isatty())


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="Also make a certificate for the client NAME.")
def certs(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Make certificates for a first try of TLS, with Docker's file names.

    The files in FOLDER are an authority (ca.pem, ca-key.pem), a server's certificate for localhost and each HOST
    (server-cert.pem, server-key.pem), and a client's certificate (cert.pem, key.pem). --client adds NAME-cert.pem and
    NAME-key.pem, also later and from the same authority; a chain knows that client as cert:NAME. No file is
    overwritten.

    \b
      swarmd certs certs swarm.example.org
      swarmd 'dockerserver tcp://0.0.0.0:2376 --tlsverify --tlscacert certs/ca.pem
              --tlscert certs/server-cert.pem --tlskey certs/server-key.pem' docker
      docker --tlsverify --tlscacert certs/ca.pem --tlscert certs/cert.pem --tlskey certs/key.pem
             -H tcp://swarm.example.org:2376 ps
    \b
      swarmd certs certs b.example.org --client laptop
      swarmd 'listen tls://0.0.0.0:4244 --ca certs/ca.pem
              --cert certs/server-cert.pem --key certs/server-key.pem' docker
      swarmd 'dockerserver unix:///tmp/b.sock' 'remote tls://b.example.org:4244 --ca certs/ca.pem
              --cert certs/laptop-cert.pem --key certs/laptop-key.pem'
    """
    with reporting(EXIT_USAGE):
        from .certs import make

        for path in make(folder, hosts, clients):
            click.echo(path)


@cli.command("new-backend")
@click.option(
    "--kind",
    type=click.Choice(["filter", "leaf", "source"]),
    default="filter",
    show_default=True,
    help="The kind of the backend.",
)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new_backend(name: str, folder: Path, kind: str) -> None:
    """Write a working package for a new backend, with tests.

    A filter stands between stages, a leaf runs workloads, and a source stands at the head of a chain. FOLDER must be
    new or empty.

    \b
      swarmd new-backend mine swarmlib-mine
      cd swarmlib-mine
      pip install -e '.[test]'
      pytest
      swarmd "dockerserver unix://$PWD/swarm.sock" mine exec
    """
    with reporting(EXIT_USAGE):
        from .new_backend import make

        for path in make(name, folder, kind):
            click.echo(path)


@cli.group()
def azure() -> None:
    """Manage virtual machines with Docker on Azure.

    All commands also take the options of the azure backend; `swarmd backends azure` explains them.

    \b
      swarmd azure create box --group prod --location westeurope
      docker -H ssh://swarm@ADDRESS run --rm busybox echo hello
      swarmd azure rm box --group prod
    """


_MIXED: Final = {"ignore_unknown_options": True}
_options = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF azure]...")
_dry = click.option("--dry-run", is_flag=True, help="Only print what would be done.")


def _run_azure(words: Sequence[str], work: Callable[[ModuleType, Azure], Awaitable[Any]]) -> Any:
    """Run a command on the typed options. Exit if these are wrong, or the SDK is not installed."""
    with reporting(EXIT_USAGE):
        try:
            from . import azure as command
        except ModuleNotFoundError as exc:
            raise click.ClickException(f"this needs Azure's SDK: pip install 'swarmlib[azure]' ({exc})") from exc
        chosen = command.options(words)
    import trio

    with reporting(EXIT_FAILED):
        return trio.run(work, command, chosen)


@azure.command(context_settings=_MIXED)
@click.argument("name")
@_dry
@json_option
@_options
def create(name: str, dry_run: bool, as_json: bool, words: tuple[str, ...]) -> None:
    """Make a machine with Docker, and print how to reach it.

    Repeating the command gives the same machine. If it fails or is interrupted, what it has made is removed again.
    """
    _run_azure(words, lambda command, chosen: command.create(chosen, name, dry_run=dry_run, as_json=as_json))


@azure.command("ls", context_settings=_MIXED)
@json_option
@_options
def azure_ls(as_json: bool, words: tuple[str, ...]) -> None:
    """List the machines of the group."""
    _run_azure(words, lambda command, chosen: command.ls(chosen, as_json=as_json))


@azure.command("rm", context_settings=_MIXED)
@click.argument("name")
@_options
def azure_rm(name: str, words: tuple[str, ...]) -> None:
    """Remove a machine, with its disk, interface and address; and what it shared, if it was the last user."""
    _run_azure(words, lambda command, chosen: command.rm(chosen, name))


@azure.command(context_settings=_MIXED)
@click.option(
    "--older-than",
    metavar="DURATION",
    callback=duration,
    default="1h",
    show_default=True,
    help="Keep newer resources, which may still be in use by a creation.",
)
@click.option("--everywhere", is_flag=True, help="Sweep every group of the subscription, not only --group.")
@_dry
@_options
def sweep(older_than: float, everywhere: bool, dry_run: bool, words: tuple[str, ...]) -> None:
    """Remove what runs that crashed have left behind: what has swarmlib's tags, and no machine."""
    options = {"everywhere": everywhere, "dry_run": dry_run}
    left = _run_azure(words, lambda command, chosen: command.sweep(chosen, older_than, **options))
    raise SystemExit(EXIT_FAILED if left else 0)


cli.add_command(audit)
cli.add_command(kubernetes)
cli.add_command(policy)
cli.add_command(tenant)
for command in (pending, approve, deny):
    policy.add_command(command)


def main() -> None:
    """Run the command."""
    cli.main(prog_name="swarmd")


def _read(words: Sequence[str], file: Path | None) -> Chain:
    if bool(words) == bool(file):
        raise click.UsageError("expected either CHAIN or --file")
    for word in words:
        if word.startswith("-"):
            raise click.UsageError(
                f"unexpected option {word}: quote a stage with its arguments, such as 'debug {word}'"
            )
    from swarmlib import Chain

    return Chain.read_file(file) if file else Chain(*words)


def _needs_source(chain: Chain) -> None:
    from swarmlib import Invalid, Source

    if not isinstance(chain.backends[0], Source):
        raise Invalid("the chain has no source: its first stage must be one, such as dockerserver or listen")


def _needs_no_source(chain: Chain) -> None:
    from swarmlib import Invalid, Source

    if isinstance(chain.backends[0], Source):
        raise Invalid(
            f"the chain can't begin with the source {chain.backends[0].name}: its requests come from the peer"
        )
