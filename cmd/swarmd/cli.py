"""The command line of swarmd: what it accepts, and how it reports errors.

Only click is imported at the top: `swarmd --help` and shell completion must be fast. Each subcommand imports the
modules that it needs; `serve` runs a chain, `show` describes it.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from . import controlling
from .aci_commands import aci
from .audit_commands import audit
from .azure_commands import azure
from .completion import chain_words, completion
from .held_commands import approve, deny, pending
from .kubernetes_commands import kubernetes
from .making_commands import certs, new_backend
from .manual import help_command, man, version
from .policy_commands import policy
from .reporting import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, json_option, reporting
from .status_commands import status, top
from .tenant_commands import tenant

if TYPE_CHECKING:
    from swarmlib import Chain

    from .logs import Form


_config = click.option(
    "-c", "--config", type=click.Path(path_type=Path), metavar="FILE", help="Run the chains of a TOML file."
)
_log_format = click.option(
    "--log-format", type=click.Choice(["text", "json"]), help="Form of the log lines on stderr.  [default: text]"
)
_words = click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CHAIN...", shell_complete=chain_words)
_SOCKET: Final = "/run/swarmd.sock"
"""Where `swarmd stdio` looks for a listen."""
_RAW: Final = {"allow_interspersed_args": False}


class _ChainGroup(click.Group):
    """A group in which `swarmd CHAIN...` is short for `swarmd run CHAIN...`.

    `swarmd BACKEND --help` is short for `swarmd help BACKEND`.
    """

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(EXIT_INTERRUPTED) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            if args[1:] in (["--help"], ["-h"]):
                return "help", self.get_command(ctx, "help"), args[:1]
            self._refuse_misspelt(args[0])
            return "run", self.get_command(ctx, "run"), args
        return super().resolve_command(ctx, args)

    def _refuse_misspelt(self, word: str) -> None:
        """Refuse a word that is neither a command nor a backend, and is nearer to a command than to any backend."""
        import difflib

        from swarmlib import Invalid, registry

        stages = registry.names()
        close = difflib.get_close_matches(word, [*self.commands, *stages], n=1)
        if word not in stages and close and close[0] in self.commands:
            with reporting(EXIT_USAGE):
                raise Invalid(f"unknown command {word!r}; did you mean {close[0]!r}?")

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "CHAIN... | FILE.toml | COMMAND [ARGS]..."]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, incomplete) + chain_words(ctx, self.params[0], incomplete)


_WIDTH: Final = min(shutil.get_terminal_size().columns, 120)


@click.group(
    cls=_ChainGroup,
    context_settings={**_RAW, "help_option_names": ["-h", "--help"], "max_content_width": _WIDTH},
)
@click.option("-v", "--verbose", is_flag=True, help="Log more to stderr, with tracebacks.")
@_log_format
@click.version_option(package_name="swarmlib", prog_name="swarmd")
def cli(verbose: bool, log_format: Form | None) -> None:
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
    See what there is, what a chain means before it is run, and how to keep it in a file:
      swarmd backends
      swarmd check 'dockerserver unix:///run/swarm.sock | debug --json | exec'
      swarmd chains.toml

    The exit status is 0, 130 after SIGINT, 143 after SIGTERM, 1 if a stage fails, or 2 if the chain is wrong.
    """
    _set_up_logs(verbose=verbose, form=log_format)


def _set_up_logs(*, verbose: bool, form: Form | None) -> None:
    from . import logs

    logs.set_up(logging.INFO if verbose else logging.WARNING, form or "text")


@cli.command(context_settings=_RAW)
@_config
@click.option(
    "--control",
    envvar=controlling.VARIABLE,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"Control socket to make, mode 0600.  [default: ${controlling.VARIABLE}, else one by convention if needed]",
)
@_words
def run(config: Path | None, control: Path | None, words: tuple[str, ...]) -> None:
    """Run a chain, or the chains of a configuration file, until Ctrl-C.

    `swarmd run FILE.toml` is short for `swarmd run --config FILE.toml`. SIGHUP has the file read again: connections
    stay, and so does everything that has not changed.

    If a stage offers something to the operator, such as held calls to approve, commands reach it by a control socket in
    /run/swarmd or $XDG_RUNTIME_DIR/swarmd.
    """
    with reporting(EXIT_USAGE):
        words, config = _file_of(words, config)
        work = _serving_file(config, control) if config else _serving(words, control)
    from .serve import run_until_signal

    with reporting(EXIT_FAILED):
        raise SystemExit(run_until_signal(work))


def _serving(words: Sequence[str], control: Path | None) -> Callable[[], Awaitable[None]]:
    from .serve import serve

    return partial(serve, _read(words, has_source=True), control)


def _serving_file(path: Path, control: Path | None) -> Callable[[], Awaitable[None]]:
    from .serve import serve_file
    from .settings import Settings, read_file

    configuration, settings = read_file(path)
    params = click.get_current_context().find_root().params
    given = Settings(control, params["log_format"], params["verbose"])
    given.over(settings).set_up_logs()
    return partial(serve_file, path, configuration.chains, settings, given)


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
            work = partial(serve_peer, _read(words, has_source=False))
        else:
            work = partial(relay, RelayAddress.read(to or f"unix://{_SOCKET}"))
    from .serve import run_until_signal

    with reporting(EXIT_FAILED):
        raise SystemExit(run_until_signal(work))


@cli.command()
@json_option
@_config
@click.option("--no-source", is_flag=True, help="The chain is embedded in a program, or stands behind 'stdio'.")
@_words
def check(as_json: bool, config: Path | None, no_source: bool, words: tuple[str, ...]) -> None:
    """Explain a chain, or the chains of a configuration file, without running them: each stage and its arguments.

    Whatever 'run' would refuse is reported, with the exit status 2, as far as it can be known without any effect: also
    files and contexts that do not exist, and stages that can't work where they stand.
    """
    with reporting(EXIT_USAGE):
        words, config = _file_of(words, config)
        from . import checks, show

        chains = checks.file(config) if config else {"": checks.chain(_read(words, has_source=not no_source))}

    if as_json:
        data = {name: show.plain(chain) for name, chain in chains.items()}
        click.echo(show.as_json(data if config else data[""]))
    else:
        click.echo("\n".join(show.chain_text(chain) for chain in chains.values()))


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


cli.add_command(aci)
cli.add_command(audit)
cli.add_command(azure)
cli.add_command(certs)
cli.add_command(kubernetes)
cli.add_command(new_backend)
cli.add_command(policy)
cli.add_command(status)
cli.add_command(tenant)
cli.add_command(top)
for command in (completion, help_command, man, version):
    cli.add_command(command)
for command in (pending, approve, deny):
    policy.add_command(command)


def _file_of(words: tuple[str, ...], config: Path | None) -> tuple[tuple[str, ...], Path | None]:
    """Return the words of a chain, or the configuration file that is given by the option or as the only word."""
    if not config and len(words) == 1 and words[0].endswith(".toml"):
        return (), Path(words[0])
    if bool(words) == bool(config):
        raise click.UsageError("expected either CHAIN or --config")
    return words, config


def _read(words: Sequence[str], *, has_source: bool) -> Chain:
    for word in words:
        if word.startswith("-"):
            raise click.UsageError(
                f"unexpected option {word}: quote a stage with its arguments, such as 'debug {word}'"
            )
    from swarmlib import Chain
    from swarmlib.checking import check_endpoints, check_order

    chain = Chain(*words)
    check_order(chain, has_source=has_source)
    check_endpoints([chain])
    return chain
