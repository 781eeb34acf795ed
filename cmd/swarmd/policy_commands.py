"""`swarmd policy`: what files of rules decide, said without an engine."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from .reporting import EXIT_FAILED, EXIT_USAGE, json_option, reporting

if TYPE_CHECKING:
    from swarmlib_backends.policy.explain import Judged

_client = click.option("--client", metavar="CALLER", default="", help="Whose calls they are, such as cert:ci-7.")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def policy() -> None:
    """Files of rules for the stage 'policy': check, explain, test, learn, replay; and the calls that it holds.

    \b
      swarmd policy check ci.toml
      swarmd policy explain ci.toml docker run --privileged busybox
      swarmd policy test ci.toml probes.json
      swarmd policy learn session.rec > ci.toml
      swarmd policy replay session.rec ci.toml
      swarmd policy show-preset act > act.toml
      swarmd policy pending
      swarmd 'dockerserver unix:///tmp/all.sock' 'policy ci.toml' docker
    """


@policy.command()
@_file
def check(file: Path) -> None:
    """Read a file of rules, and say how many operations they allow."""
    from swarmlib_backends.policy.explain import read

    with reporting(EXIT_USAGE):
        click.echo(f"{file}: {read(file).summary}")


@policy.command(context_settings={"allow_interspersed_args": False})
@json_option
@_client
@_file
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def explain(as_json: bool, client: str, file: Path, command: tuple[str, ...]) -> None:
    """Say what the rules decide about each call of a docker COMMAND, or about one HTTP request.

    A command is run against a simulated engine, and its exit code is this one's. A request is METHOD PATH [BODY], or -
    for all of it on stdin; the exit code is 1 if it is denied.

    \b
      swarmd policy explain ci.toml docker run --privileged busybox
      swarmd policy explain ci.toml POST /containers/create '{"Image": "busybox"}'
      swarmd policy explain --client cert:ci-7 ci.toml - < request.http
    """
    import trio

    from swarmlib_backends.policy import explain, probes

    with reporting(EXIT_USAGE):
        rules = explain.read(file)
        data = _request(command, probes.request_bytes)
    with reporting(EXIT_FAILED):
        if data is None:
            tell = partial(_show, as_json=as_json)
            raise SystemExit(trio.run(explain.explain, rules, command, tell, client))
        _end_with(trio.run(explain.explain_bytes, rules, data, client), as_json=as_json)


def _request(words: tuple[str, ...], request_bytes: Callable[..., bytes]) -> bytes | None:
    """Return the bytes of the request that the words are; None if they are a command."""
    if words == ("-",):
        return sys.stdin.buffer.read()
    if not words[0].isupper():
        return None
    if len(words) not in (2, 3):
        raise click.UsageError(f"expected METHOD PATH [BODY], not {len(words)} words")
    return request_bytes(words[0], words[1], "".join(words[2:]).encode(), {}, is_json=len(words) > 2)


@policy.command()
@json_option
@_file
@click.argument("probes", type=click.Path(path_type=Path, dir_okay=False))
def test(as_json: bool, file: Path, probes: Path) -> None:
    """Judge the requests of a file of PROBES, each of which says what must happen; end with 1 if another thing does.

    A probe is an object with a "name", "must" ("allow" or "deny"), and a request: "docker", or "method", "path",
    "headers" and "body"; optionally the "client", and the "rule" that decides. What the rules allow only for certain
    objects is undecided, since there is no engine.

    \b
      [{"name": "no root", "must": "deny", "docker": "run --privileged busybox"},
       {"name": "look", "must": "allow", "method": "GET", "path": "/containers/json", "client": "cert:ci-7"}]
    """
    import trio

    from swarmlib_backends.policy import explain
    from swarmlib_backends.policy import probes as trials

    with reporting(EXIT_USAGE):
        rules = explain.read(file)
        chosen = [each for each in trials.read(probes) if each.policy in ("", file.stem)]
    with reporting(EXIT_FAILED):
        outcomes = [trio.run(trials.judge, rules, each) for each in chosen]
    for outcome in outcomes:
        if as_json or outcome.result != "ok":
            click.echo(json.dumps(outcome.as_data()) if as_json else outcome.line)
    counts = Counter(outcome.result for outcome in outcomes)
    if not as_json:
        click.echo(
            f"{len(chosen)} probes: {counts['ok']} ok, {counts['failed']} failed, {counts['undecided']} undecided"
        )
    raise SystemExit(EXIT_FAILED if counts["failed"] else 0)


@policy.command()
@json_option
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
@_file
def replay(as_json: bool, recording: Path, file: Path) -> None:
    """Say what the rules decide about each call of a RECORDING; end with 1 if they deny one."""
    from swarmlib_backends.policy import explain

    with reporting(EXIT_USAGE):
        found = list(explain.replay(explain.read(file), recording))
    _end_with(found, as_json=as_json)


@policy.command("show-preset")
@click.argument("name", required=False)
def show_preset(name: str | None) -> None:
    """Print the rules of the preset NAME, as the beginning of a file of one's own; or the names of all presets."""
    from swarmlib_backends.policy.policy import preset_text, presets

    with reporting(EXIT_USAGE):
        click.echo(preset_text(name) if name else "\n".join(presets()), nl=not name)


@policy.command()
@click.option("--generalise", is_flag=True, help="Allow any tag, whatever is below a folder, and every client.")
@click.option(
    "--beside",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Learn only what the rules of FILE deny; end with 1 if there is something.",
)
@click.argument("recording", type=click.Path(path_type=Path, dir_okay=False))
def learn(generalise: bool, beside: Path | None, recording: Path) -> None:
    """Print the smallest policy that serves the calls of a RECORDING.

    \b
      swarmd policy learn session.rec > ci.toml
      swarmd policy learn later.rec --beside ci.toml
    """
    from swarmlib_backends.policy import explain
    from swarmlib_backends.policy.learn import learn as learned

    with reporting(EXIT_USAGE):
        rules = None if beside is None else explain.read(beside)
        text = learned(recording, beside=rules, generalise=generalise)
    click.echo(text, nl=False)
    raise SystemExit(EXIT_FAILED if text and beside is not None else 0)


def _end_with(found: Sequence[Judged], *, as_json: bool) -> NoReturn:
    """Show verdicts, and end with 1 if one of them is a denial."""
    for judged in found:
        _show(judged, as_json=as_json)
    raise SystemExit(0 if all(judged.verdict.allowed for judged in found) else EXIT_FAILED)


def _show(judged: Judged, *, as_json: bool) -> None:
    click.echo(json.dumps(judged.as_data()) if as_json else judged.line)
