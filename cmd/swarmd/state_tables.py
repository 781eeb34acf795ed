"""The state of a running chain as tables, which `swarmd status` and `top` print, sorted by a column if asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from swarmlib import Invalid
from swarmlib.suggestions import nearest
from swarmlib.terminal import escaped
from swarmlib_backends.tenant.resources import shown as shown_amount

State: TypeAlias = Mapping[str, Any]
"""The answer to `get status`, by `swarmlib_backends.observe.status`."""
Row: TypeAlias = Mapping[str, Any]
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_TIMES: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, which is also the field of the rows, and how a value is shown."""

    title: str
    shown: Callable[[Any], str] = str


@dataclass(frozen=True)
class Table:
    """A table of a kind of rows.

    Attributes:
        name: what its lines begin with where there is no terminal.
        columns: in order.
        rows: with the fields that the columns are called after.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def lines(self) -> Iterator[Sequence[str]]:
        """Yield the cells of each row, as text that can't control a terminal."""
        for row in self.rows:
            yield [escaped(_text(column, row.get(column.title))) for column in self.columns]

    def sorted_by(self, title: str) -> Table:
        """Return it sorted by a column, if it has one of this title: the largest numbers first, texts by alphabet."""
        if title not in [column.title for column in self.columns]:
            return self
        numbers = [row for row in self.rows if isinstance(row.get(title), int | float)]
        texts = [row for row in self.rows if not isinstance(row.get(title), int | float)]
        by_number = sorted(numbers, key=lambda row: -row[title])
        return Table(self.name, self.columns, [*by_number, *sorted(texts, key=lambda row: str(row.get(title) or ""))])


def _text(column: Column, value: Any) -> str:
    return "-" if value is None or value == "" else column.shown(value)


def size(amount: float) -> str:
    """Return the text of a number of bytes, with three digits or so.

    >>> size(1234567)
    '1.23 MB'
    """
    return next((f"{amount / unit:.3g} {name}" for unit, name in _UNITS if amount >= unit), f"{amount:.0f} B")


def time(seconds: float) -> str:
    """Return the text of a duration, in one unit.

    >>> time(5400)
    '1.5 h'
    """
    return next((f"{seconds / unit:.3g} {name}" for unit, name in _TIMES if seconds >= unit), f"{seconds:.3g} s")


def _number(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _up(value: bool) -> str:
    return "up" if value else "down"


def _cpus(value: float) -> str:
    return f"{value / 1e9:g}"


_ENGINES: Final = (
    Column("name"),
    Column("up", _up),
    Column("latency_ms", _number),
    Column("requests", _number),
    Column("errors", _number),
    Column("containers", _number),
    Column("running", _number),
    Column("cpus", _number),
    Column("cpus_reserved", _cpus),
    Column("memory", size),
    Column("memory_reserved", size),
    Column("version"),
    Column("down_seconds", lambda value: time(value) if value else "-"),
    Column("trouble"),
)
_OPERATIONS: Final = (
    Column("operation"),
    Column("outcome"),
    Column("engine"),
    Column("count", _number),
    Column("rate", _number),
    Column("mean_ms", _number),
)
_CLIENTS: Final = (
    Column("caller"),
    Column("calls", _number),
    Column("under_way", _number),
    Column("errors", _number),
    Column("denied", _number),
    Column("idle", time),
)
_CALLS: Final = (
    Column("number"),
    Column("operation"),
    Column("path"),
    Column("caller"),
    Column("engine"),
    Column("age", time),
)
_DENIALS: Final = (
    Column("when"),
    Column("caller"),
    Column("operation"),
    Column("path"),
    Column("stage"),
    Column("message"),
)
_TENANTS: Final = tuple(map(Column, ("tenant", "resource", "used", "limit")))
_HELD: Final = tuple(map(Column, ("id", "operation", "caller", "since", "until")))
_EVERY: Final = (_ENGINES, _OPERATIONS, _CLIENTS, _CALLS, _DENIALS, _TENANTS, _HELD)


def tables(state: State, before: State | None = None) -> list[Table]:
    """Return the tables of a state that have rows.

    before: an earlier state, from which the rates of operations are known.
    """
    every = [
        Table("engine", _ENGINES, state["engines"]),
        Table("operation", _OPERATIONS, list(_operations(state, before))),
        Table("client", _CLIENTS, state["clients"]),
        Table("call", _CALLS, state["calls"]),
        Table("denial", _DENIALS, list(_denials(state["denials"]))),
        Table("tenant", _TENANTS, list(_tenants(state["tenants"]))),
        Table("held", _HELD, state["held"]),
    ]
    return [table for table in every if table.rows]


def check_title(title: str) -> None:
    """Raise Invalid if no table has a column of this title."""
    known = sorted({column.title for columns in _EVERY for column in columns})
    if title not in known:
        raise Invalid(f"no table has a column {title!r}; {nearest(title, known)}")


def _operations(state: State, before: State | None) -> Iterator[Row]:
    counted = {_kind(row): row["count"] for row in before["operations"]} if before else {}
    seconds = state["uptime"] - (before["uptime"] if before else 0.0)
    for row in sorted(state["operations"], key=lambda row: -row["count"]):
        rate = (row["count"] - counted.get(_kind(row), 0)) / seconds if seconds > 0 else 0.0
        yield {**row, "rate": rate}


def _kind(row: Row) -> tuple[str, str, str]:
    return row["operation"], row["outcome"], row["engine"]


def _denials(rows: Iterable[Row]) -> Iterator[Row]:
    from datetime import datetime

    for row in rows:
        yield {**row, "when": datetime.fromtimestamp(row["at"]).astimezone().isoformat(" ", "seconds")}


def _tenants(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        for resource, used in row["Used"].items():
            limit = row["Limits"].get(resource)
            if used or limit is not None:
                about = {"tenant": row["Name"], "resource": resource, "used": shown_amount(resource, used)}
                yield {**about, "limit": None if limit is None else shown_amount(resource, limit)}


def summary(state: State) -> str:
    """Return the line that stands above the tables."""
    entry = next((each["rate"] for each in state["chain"] if each["requests"]), 0.0)
    return (
        f"swarmd {state['pid']}, up {time(state['uptime'])}: {entry:.1f} calls/s, {state['ended']:,} ended, "
        f"{state['under_way']} under way, {state['streams']} streams, "
        f"{size(state['received'])} received, {size(state['sent'])} sent"
    )


def chain(state: State) -> Iterator[str]:
    """Yield a line for each stage, with the requests a second that it is sent; members stand below their stage."""
    below: dict[int, list[Row]] = {}
    for stage in state["chain"]:
        below.setdefault(stage["above"], []).append(stage)
    yield from _stages(below, 0, "")


def _stages(below: Mapping[int, Sequence[Row]], above: int, indent: str) -> Iterator[str]:
    row = 0
    for stage in below.get(above, ()):
        label = f"{stage['label']}: " if above and stage["row"] != row and stage["label"] else ""
        row = stage["row"]
        yield escaped(f"{indent}{label}{stage['name']}  {stage['rate']:.1f}/s  ({stage['requests']:,})")
        yield from _stages(below, stage["number"], indent + "  ")
