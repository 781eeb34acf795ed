"""The command line of swarmd: what it accepts, and how it reports errors.

Only click is imported at the top: `swarmd --help` and shell completion must be fast. Each subcommand imports the
modules that it needs; `serve` runs a chain, `show` describes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from types import ModuleType

    from swarmlib import Chain
    from swarmlib_backends.azure import Azure

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Return the seconds of an option that takes a time such as 90s or 1h."""
    from swarmlib.quantities import seconds

    try:
        return seconds(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


_words = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CHAIN...")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
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

    A chain is backends in a row: what the first one is asked, it asks the next. Each argument is one stage with
    its own arguments, in quotes; one argument may also hold several stages, joined by '|'.

    \b
    One Docker API over the processes of this machine, with a line for each call:
      swarmd "dockerserver unix://$PWD/swarm.sock" debug exec
      docker -H "unix://$PWD/swarm.sock" run --rm any echo hello

    \b
    One Docker API over two engines:
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
    Completion of words (bash here; zsh and fish are the same):
      eval "$(_SWARMD_COMPLETE=bash_source swarmd)"

    It ends with 0 or by a signal (130 for SIGINT, 143 for SIGTERM), 1 when a stage fails, 2 when the chain is wrong.
    """
    from . import logs

    logs.set_up(logging.INFO if verbose else logging.WARNING)


@cli.command(context_settings=_RAW)
@click.option("-f", "--file", type=click.Path(path_type=Path), help="A TOML file that holds the chain.")
@_words
def run(file: Path | None, words: tuple[str, ...]) -> None:
    """Run a chain until Ctrl-C."""
    with reporting(EXIT_USAGE):
        chain = _read(words, file)
        _needs_source(chain)
    from .serve import run_until_signal, serve

    with reporting(EXIT_FAILED):
        raise SystemExit(run_until_signal(partial(serve, chain)))


@cli.command(context_settings=_RAW)
@click.option("--to", metavar="URL", help=f"Where listen is; by default unix://{_SOCKET}.")
@_words
def stdio(to: str | None, words: tuple[str, ...]) -> None:
    """Serve one peer on stdin and stdout: what ssh runs on the far side of 'remote ssh://HOST'.

    Without CHAIN it leads the peer to a listen that runs on this machine; with one, that chain is run for it, and ends
    with it.

    \b
      here:   swarmd 'dockerserver unix:///tmp/b.sock' 'remote ssh://b'
      on b:   swarmd 'listen unix:///run/swarmd.sock' docker
    \b
      here alone, with only swarmd installed on b:
              swarmd 'dockerserver unix:///tmp/b.sock' 'remote ssh://b --run docker'
    """
    if words and to:
        raise click.UsageError("give a chain, or --to, not both")
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
@_json
@click.option("-f", "--file", type=click.Path(path_type=Path), help="A TOML file that holds the chain.")
@_words
def check(as_json: bool, file: Path | None, words: tuple[str, ...]) -> None:
    """Explain a chain without running it: each stage and its arguments."""
    with reporting(EXIT_USAGE):
        chain = _read(words, file)
    from . import show

    click.echo(show.as_json(show.plain(chain)) if as_json else show.chain_text(chain))


@cli.command()
@click.argument("name", required=False)
@_json
def backends(name: str | None, as_json: bool) -> None:
    """List the installed backends; with NAME, explain one in full."""
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
@click.option("--client", "clients", multiple=True, metavar="NAME", help="One more client, by a name of its own.")
def certs(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Make certificates for a first try of TLS, in Docker's own file names.

    FOLDER gets an authority (ca.pem, ca-key.pem), a server's certificate for localhost and each HOST (server-cert.pem,
    server-key.pem), and a client's (cert.pem, key.pem). With --client it gets NAME-cert.pem and NAME-key.pem too, also
    later, of the authority that is there; a chain knows that client as cert:NAME. Nothing is overwritten.

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
@click.option("--kind", type=click.Choice(["filter", "leaf", "source"]), default="filter", show_default=True)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new_backend(name: str, folder: Path, kind: str) -> None:
    """Write the package of a backend of your own: it works, and has its tests.

    A filter stands between stages, a leaf has workloads, a source stands at the head. FOLDER must be new or empty.

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
    """Machines with Docker on Azure: create, ls, rm, sweep.

    Besides their own options all take those of the azure backend: `swarmd backends azure` explains them.

    \b
      swarmd azure create box --group prod --location westeurope
      docker -H ssh://swarm@ADDRESS run --rm busybox echo hello
      swarmd azure rm box --group prod
    """


_MIXED: Final = {"ignore_unknown_options": True}
_options = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF azure]...")
_dry = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


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
@_json
@_options
def create(name: str, dry_run: bool, as_json: bool, words: tuple[str, ...]) -> None:
    """Make a machine with Docker on it, with all that it needs; says how it is reached.

    The same again is the same machine. What fails or is interrupted halfway is removed again.
    """
    _run_azure(words, lambda command, chosen: command.create(chosen, name, dry_run=dry_run, as_json=as_json))


@azure.command("ls", context_settings=_MIXED)
@_json
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
    callback=_duration,
    default="1h",
    show_default=True,
    help="Leave what is newer: it may be in the making.",
)
@click.option("--everywhere", is_flag=True, help="In every group of the subscription, not only --group.")
@_dry
@_options
def sweep(older_than: float, everywhere: bool, dry_run: bool, words: tuple[str, ...]) -> None:
    """Remove what runs that crashed have left behind: what has swarmlib's tags, and no machine."""
    options = {"everywhere": everywhere, "dry_run": dry_run}
    left = _run_azure(words, lambda command, chosen: command.sweep(chosen, older_than, **options))
    raise SystemExit(EXIT_FAILED if left else 0)


def main() -> None:
    """Run the command."""
    cli.main(prog_name="swarmd")


def _read(words: Sequence[str], file: Path | None) -> Chain:
    if bool(words) == bool(file):
        raise click.UsageError("give a chain, or a file with one (-f), not both")
    for word in words:
        if word.startswith("-"):
            raise click.UsageError(f"{word} stands alone: quote a stage with its arguments, such as 'debug {word}'")
    from swarmlib import Chain

    return Chain.read_file(file) if file else Chain(*words)


def _needs_source(chain: Chain) -> None:
    from swarmlib import Invalid, Source

    if not isinstance(chain.backends[0], Source):
        raise Invalid("the first stage must produce messages, such as dockerserver")


def _needs_no_source(chain: Chain) -> None:
    from swarmlib import Invalid, Source

    if isinstance(chain.backends[0], Source):
        raise Invalid(f"the messages come from the peer: the chain can't begin with {chain.backends[0].name}")


@contextmanager
def reporting(exit_code: int) -> Generator[None]:
    """Report a failure in one line (a chain's with its caret below) and exit with `exit_code`."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as exc:  # the last place that can report it in words
        from .logs import say

        for line in _failures(exc):
            say(f"error: {line}")
        logging.getLogger(__name__).info("the traceback of it", exc_info=exc)
        raise SystemExit(exit_code) from None


def _failures(exc: BaseException) -> list[str]:
    from swarmlib import SwarmError

    if isinstance(exc, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exc)
        return [line for one in group.exceptions for line in _failures(one)]
    if isinstance(exc, SwarmError):
        return [f"{exc.backend}: {exc.message}" if exc.backend else exc.message]
    return [f"{type(exc).__name__}: {exc}"]
