"""Programs of a simulated container that reach others on its networks, by their names: `nslookup` and `ping`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .addresses import address_in
from .process import Program, Run

_NAME_SERVER: Final = "Server:\t\t127.0.0.11\nAddress:\t127.0.0.11:53\n\n"
_NOBODY: Final = "** server can't find {0}: NXDOMAIN\n\n** server can't find {0}: NXDOMAIN\n"
_PING_USAGE: Final = "usage: ping [-4] [-c COUNT] [-i SECONDS] [-W SECONDS] [-q] HOST"
_WITH_VALUE: Final = {"-c", "-i", "-W"}
_FOR_EVER: Final = 2**63
_HOSTS: Final = "/etc/hosts"
_MILLISECONDS: Final = "0.050"
"""How long everything takes to answer."""


async def _nslookup(run: Run) -> int:
    if len(run.args) < 2:
        return await run.fail("nslookup: usage: nslookup HOST [DNS_SERVER]")
    name, found = run.args[1], run.resolve(run.args[1])
    if found is None:
        await run.say(";; connection timed out; no servers could be reached\n\n")
        return 1
    answers = "".join(f"Name:\t{name}\nAddress: {address}\n" for address in found)
    # It asks twice, for addresses of IPv4 and of IPv6; of the latter an engine tells nothing here.
    said = f"Non-authoritative answer:\n{answers}\nNon-authoritative answer:\n" if found else _NOBODY.format(name)
    await run.say(f"{_NAME_SERVER}{said}\n")
    return 0 if found else 1


async def _ping(run: Run) -> int:
    """`ping`: whoever has an address answers at once, so that nothing is waited for (`-W`)."""
    options, hosts = _options(run.args[1:])
    if len(hosts) != 1 or set(options) - _WITH_VALUE - {"-4", "-q"}:
        return await run.fail(_PING_USAGE)
    host = hosts[0]
    try:
        count, pause = int(options.get("-c", _FOR_EVER)), float(options.get("-i", "1"))
    except ValueError as exc:
        return await run.fail(f"ping: {exc}")
    address = _address(run, host)
    if address is None:
        return await run.fail(f"ping: bad address '{host}'")
    if (literal := address_in(host)) is not None and not literal.is_loopback:
        return await run.fail(
            f"ping: the simulator can't tell whether {host} answers; it reaches others by their names"
        )
    await run.say(f"PING {host} ({address}): 56 data bytes\n")
    sent = 0
    while sent < count:
        await run.sleep(pause if sent else 0)
        if "-q" not in options:
            await run.say(f"64 bytes from {address}: seq={sent} ttl=64 time={_MILLISECONDS} ms\n")
        sent += 1
    times = "/".join([_MILLISECONDS] * 3)
    told = f"{sent} packets transmitted, {sent} packets received, 0% packet loss\nround-trip min/avg/max = {times} ms\n"
    return await run.say(f"\n--- {host} ping statistics ---\n{told}")


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options with their values, and the other words."""
    options: dict[str, str] = {}
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word[:2] in _WITH_VALUE:
            options[word[:2]] = word[2:] or next(waiting, "")
        elif word.startswith("-"):
            options[word] = ""
        else:
            rest.append(word)
    return options, rest


def _address(run: Run, host: str) -> str | None:
    """Return the address of a host: itself, or that of a name in /etc/hosts, or what the networks tell."""
    if address_in(host) is not None:
        return host
    node = run.files.get(_HOSTS)
    for line in node.data.decode("utf-8", "replace").splitlines() if node is not None else ():
        address, *names = line.partition("#")[0].split() or [""]
        if host in names and "." in address:
            return address
    found = run.resolve(host)
    return found[0] if found else None


REACH: Final[dict[str, Program]] = {"nslookup": _nslookup, "ping": _ping}
