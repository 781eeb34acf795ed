"""The list of all containers in blocks: the same as one that is plainly made, and a change costs what its block has."""

import sys
import tracemalloc
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from swarmlib_backends.balance import blocks
from swarmlib_backends.balance.index import Index
from swarmlib_backends.balance.labels import LABEL
from swarmlib_backends.balance.node import Node
from swarmlib_backends.balance.objects import Container
from swarmlib_backends.dockerapi.ages import human
from tests.support.simulated import stamp

_labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))
_which = st.integers(0, 99)
_TOLD_AGE = "9 hours"
"""The age that engines tell; that of a container which is inspected is made anew."""


@dataclass(eq=False)
class Told:
    """What an engine has told of a container."""

    box: Container
    created: float = 0.0
    state: str = "created"
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    began: float | None = None
    """When it began to run, if it is inspected."""
    shown: bool = False
    """Whether its summary was told."""

    def summary(self, now: float) -> dict[str, object]:
        """As it is listed, with the label that names its engine."""
        node = self.box.node.name
        age = _TOLD_AGE if self.began is None else human(now + self.box.node.skew - self.began)[0]
        return {
            "Id": self.box.id,
            "Names": [f"/{self.name}"],
            "Created": int(self.created),
            "State": self.state,
            "Labels": {**self.labels, LABEL: node},
            "Node": node,
            "Status": f"Up {age}" if self.state == "running" else "Created",
        }


def plain(told: Sequence[Told], now: float, *, running: bool) -> bytes:
    """The list, made of what was told in the order in which the containers came."""
    newest_first = sorted(told, key=lambda each: each.created, reverse=True)
    shown = [each for each in newest_first if each.shown and each.box.node.up]
    kept = [each for each in shown if not running or each.state in ("running", "paused")]
    return b"[" + b",".join(orjson.dumps(each.summary(now)) for each in kept) + b"]\n"


class Lists(RuleBasedStateMachine):
    """An index of engines that come and go, beside what they told; blocks are small, so that there are many."""

    def __init__(self) -> None:
        super().__init__()
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(blocks, "_MOST", 4)
        self.index = Index()
        self.nodes: list[Node] = []
        self.told: list[Told] = []
        self.number = 0
        self.now = 1_000_000.0
        for skew in (0.0, 30.0):
            self.engine_joins(skew)

    def teardown(self) -> None:
        """Undo what was patched."""
        self.patched.undo()

    def on(self, node: Node) -> list[Told]:
        return [each for each in self.told if each.box.node is node]

    @rule(skew=st.sampled_from([0.0, 30.0]))
    def engine_joins(self, skew: float) -> None:
        self.number += 1
        node = Node(f"engine{self.number}")
        node.up, node.skew = True, skew
        self.index.join(node, {})
        self.nodes.append(node)

    @precondition(lambda self: self.nodes)
    @rule(which=_which)
    def engine_leaves(self, which: int) -> None:
        node = self.nodes.pop(which % len(self.nodes))
        self.forget(self.on(node))
        self.index.leave(node)

    @precondition(lambda self: self.nodes)
    @rule(which=_which)
    def engine_goes_down_or_comes_up(self, which: int) -> None:
        node = self.nodes[which % len(self.nodes)]
        node.up = not node.up
        self.index.summaries.changed(*(each.box for each in self.on(node)))

    @precondition(lambda self: self.nodes)
    @rule(which=_which, seconds=st.lists(st.integers(0, 3), max_size=12), labels=_labels, shown=st.booleans())
    def come(self, which: int, seconds: list[int], labels: dict[str, str], shown: bool) -> None:
        for second in seconds:
            self.number += 1
            one = Told(Container(self.nodes[which % len(self.nodes)], str(self.number)), second, "running", "x", labels)
            self.told.append(one)
            self.index.add(one.box)
            if shown:
                self.tell(one)

    def tell(self, one: Told) -> None:
        one.shown = True
        status = f"Up {_TOLD_AGE}" if one.state == "running" else "Created"
        told = one.summary(self.now) | {"Labels": one.labels, "Status": status}
        one.box.tell({name: value for name, value in told.items() if name != "Node"})
        self.index.summaries.label(one.box, one.labels)
        self.index.summaries.changed(one.box)

    @precondition(lambda self: self.told)
    @rule(which=_which, state=st.sampled_from(["running", "paused", "exited"]), name=st.sampled_from("xyz"))
    def change(self, which: int, state: str, name: str) -> None:
        one = self.told[which % len(self.told)]
        one.state, one.name = state, name
        self.tell(one)

    @precondition(lambda self: self.told)
    @rule(which=_which, part=st.sampled_from([0.25, 0.5]), age=st.sampled_from([0, 1, 58, 3599]))
    def inspect(self, which: int, part: float, age: int) -> None:
        one = self.told[which % len(self.told)]
        one.created, one.began = int(one.created) + part, self.now - age
        one.box.date({"Created": stamp(one.created), "State": {"StartedAt": stamp(one.began)}})
        self.index.summaries.changed(one.box)

    @precondition(lambda self: self.told)
    @rule(which=st.sets(_which, min_size=1, max_size=8))
    def remove(self, which: set[int]) -> None:
        self.forget([self.told[each] for each in {each % len(self.told) for each in which}])

    def forget(self, gone: Sequence[Told]) -> None:
        self.index.remove({each.box for each in gone})
        self.told = [each for each in self.told if each not in gone]

    @rule(later=st.sampled_from([0.0, 0.5, 1.0, 60.0]))
    def list_all(self, later: float) -> None:
        self.now += later
        for running in (True, False):
            found = self.index.listed((), None, running=running, now=self.now)
            assert found == plain(self.told, self.now, running=running)

    @rule(running=st.booleans(), labels=_labels)
    def list_by_labels(self, running: bool, labels: dict[str, str]) -> None:
        asked = [f"{name}={value}" for name, value in labels.items()]
        fits = [each for each in self.told if labels.items() <= each.labels.items()]
        found = self.index.listed(asked, None, running=running, now=self.now)
        assert found == plain(fits, self.now, running=running)


TestLists = Lists.TestCase
TestLists.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def full(index: Index, containers: int) -> list[Container]:
    """Containers of one engine, which were created one second after another, and are listed."""
    node = Node("a")
    node.up = True
    made = [Container(node, str(number)) for number in range(containers)]
    for second, each in enumerate(made):
        index.add(each)
        each.tell({"Id": each.id, "State": "running", "Created": second, "Status": "Created", "Command": 500 * "x"})
        index.summaries.changed(each)
    listed(index)
    return made


def listed(index: Index) -> bytes:
    return index.listed((), None, running=True, now=0.0)


def told_anew(index: Index, changed: Collection[Container], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many containers the next list makes anew after these have changed."""
    parts, asked = Container.parts, list[str]()

    def counted(box: Container, now: float) -> tuple[bytes, bytes, float]:
        asked.append(box.id)
        return parts(box, now)

    monkeypatch.setattr(Container, "parts", counted)
    index.summaries.changed(*changed)
    listed(index)
    return len(asked)


@pytest.mark.parametrize("containers", [1_000, 10_000])
def test_a_list_after_a_change_makes_only_the_changed_block_anew(
    containers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index()
    made = full(index, containers)
    assert 1 <= told_anew(index, made[500:501], monkeypatch) <= 256
    assert told_anew(index, made[500:501], monkeypatch) <= told_anew(index, made[500:520], monkeypatch) <= 512


def test_blocks_are_few_after_most_containers_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index()
    made = full(index, 10_000)
    index.remove({each for number, each in enumerate(made) if number % 100})
    assert listed(index).count(b'"Id"') == 100
    assert told_anew(index, made[:1], monkeypatch) == 100  # which are in one block


@pytest.mark.parametrize("begin", range(0, 840, 40))
def test_a_block_of_which_all_containers_have_gone_is_dropped(begin: int) -> None:
    index = Index()
    made = full(index, 1_000)
    gone, kept = made[begin : begin + 160], made[:begin] + made[begin + 160 :]
    index.remove(set(gone))
    index.summaries.changed(kept[0], kept[-1])
    assert [each["Id"] for each in orjson.loads(listed(index))] == [each.id for each in reversed(kept)]


def test_an_age_that_lapses_makes_only_its_block_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index()
    made = full(index, 1_000)
    made[500].tell({"Id": "500", "State": "running", "Created": 500, "Status": "Up 3 seconds"})
    made[500].date({"State": {"StartedAt": stamp(-10.0)}})
    index.summaries.changed(made[500])
    first = listed(index)
    assert told_anew(index, (), monkeypatch) == 0
    second = index.listed((), None, running=True, now=1.0)
    assert b"Up 10 seconds" in first
    assert second == first.replace(b"Up 10 seconds", b"Up 11 seconds")


def test_a_list_is_in_memory_once_and_not_longer_than_until_the_next_one() -> None:
    index = Index()
    made = full(index, 1_000)
    index.summaries.changed(*made)
    tracemalloc.start()
    try:
        first = listed(index)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * len(first)
    index.summaries.changed(made[500])
    assert listed(index) == first
    assert sys.getrefcount(first) == 2  # here, and as the argument
