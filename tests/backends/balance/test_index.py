"""The index: found as an engine finds, whatever came and went; and texts that stay true while time passes."""

from itertools import count
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarmlib_backends.balance.index import ImageNames, Index, Table, image_name
from swarmlib_backends.balance.member import Member
from swarmlib_backends.balance.objects import Container, Item
from swarmlib_backends.dockerapi.ages import human, since, template

ids = st.text("ab", min_size=1, max_size=4)
names = st.lists(st.sampled_from(["x", "y", "ab"]), max_size=2, unique=True)


class Tables(RuleBasedStateMachine):
    """A table against a plain list of its items."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table[Item]()
        self.items: list[Item] = []

    @rule(id=ids, names=names)
    def add(self, id: str, names: list[str]) -> None:
        item = Item(cast("Member", None), id, names)
        self.table.add(item)
        self.items.append(item)

    @rule(at=st.integers(0, 20))
    def remove(self, at: int) -> None:
        if self.items:
            self.table.remove(self.items.pop(at % len(self.items)))

    @rule(at=st.integers(0, 20), names=names)
    def rename(self, at: int, names: list[str]) -> None:
        if self.items:
            self.table.rename(self.items[at % len(self.items)], names)

    @invariant()
    def finds(self) -> None:
        for ref in ("a", "b", "ab", "aab", "x", "y", "nosuch", ""):
            exact = [each for each in self.items if each.id == ref]
            named = [each for each in self.items if ref in each.names]
            begun = [each for each in self.items if ref and each.id.startswith(ref)]
            assert set(self.table.find(ref)) == set(exact or named or begun)


TestTables = Tables.TestCase
TestTables.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(("digits", "found"), [(12, 2), (63, 2), (64, 1)])
def test_only_what_is_shorter_than_an_id_is_also_a_prefix(digits: int, found: int) -> None:
    table, ref = Table[Item](), digits * "a"
    for id, name in (("b" * 64, ref), (ref.ljust(70, "a"), "other")):
        table.add(Item(cast("Member", object()), id, [name]))
    assert len(table.find(ref)) == found


@given(st.floats(0, 4e8))
def test_an_age_holds_until_it_says(age: float) -> None:
    text, lasts = human(age)
    assert lasts > age
    middle = (age + lasts) / 2
    if middle < lasts - 1e-3:
        assert human(middle)[0] == text
    assert human(lasts + 1)[0] != text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_ages_in_docker_s_words(age: float, text: str) -> None:
    assert human(age)[0] == text
    assert template(f"Up {text} (healthy)") == ("Up ", " (healthy)")
    assert template(f"Exited (137) {text} ago") == ("Exited (137) ", " ago")


def test_what_tells_no_age_stays_as_it_is() -> None:
    assert template("Created") is None
    assert since("0001-01-01T00:00:00Z") == since("") == 0
    assert since("1970-01-01T01:00:00.5+01:00") == 0.5


class Up:
    """What a container must know of its member."""

    name, up, skew = "a", True, 0.0


def test_a_list_is_kept_and_changes_with_time_and_with_what_happens() -> None:
    index = Index()
    box = Container(cast("Member", Up()), "1" * 64, ["web"])
    index.add(box)
    summary: dict[str, Any] = {"Id": box.id, "State": "running", "Status": "Up 3 seconds (healthy)", "Labels": None}
    box.tell(summary)
    box.date({"State": {"StartedAt": "1970-01-01T00:01:40Z"}})
    index.summaries.changed(box)
    first = index.listed((), None, running=True, now=103)
    assert index.listed((), None, running=True, now=103.5) is first
    listed = orjson.loads(index.listed((), None, running=True, now=160))
    assert listed == [
        {**summary, "Status": "Up About a minute (healthy)", "Node": "a", "Labels": {"swarmlib.node": "a"}}
    ]
    box.date({})
    box.tell({**summary, "State": "exited", "Status": "Exited (0) 1 second ago"})
    index.summaries.changed(box)
    assert orjson.loads(index.listed((), None, running=True, now=160)) == []
    assert orjson.loads(index.listed((), None, running=False, now=160))[0]["Status"] == "Exited (0) 1 second ago"


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("busybox", "busybox:latest"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("host:5000/app", "host:5000/app:latest"),
        ("host:5000/app:1", "host:5000/app:1"),
        ("app@sha256:0", "app@sha256:0"),
    ],
)
def test_images_are_named_as_engines_list_them(ref: str, name: str) -> None:
    assert image_name(ref) == name


def test_what_is_told_after_a_list_was_made_stands_in_its_place_in_the_next() -> None:
    index = Index()
    old, new = (Container(cast("Member", Up()), digit * 64, [digit]) for digit in "12")
    index.add(old)
    old.tell({"Id": old.id, "State": "exited", "Status": "Created", "Created": 100})
    index.summaries.changed(old)
    index.add(new)  # its event has come; what it is, is not known yet
    assert len(orjson.loads(index.listed((), None, running=False, now=0))) == 1
    new.tell({"Id": new.id, "State": "exited", "Status": "Created", "Created": 200})
    index.summaries.changed(new)
    assert [each["Created"] for each in orjson.loads(index.listed((), None, running=False, now=0))] == [200, 100]


def test_a_name_counts_from_when_an_image_was_seen_to_get_it() -> None:
    times = count(1)
    one, other = ImageNames(times), ImageNames(times)
    for each in (one, other):
        each.listed({"1": ["app:1", "old:1"]})
    assert [one.given("app:1"), other.given("app:1"), one.given("nosuch:1")] == [0, 0, 0]
    one.listed({"1": ["old:1"], "2": ["app:1"]})
    assert one.given("app:1") > other.given("app:1")
    other.listed({"3": ["app:1"]})
    one.listed({"2": ["app:1"], "1": ["old:1"]})
    assert other.given("app:1") > one.given("app:1") > one.given("old:1") == 0
    assert list(one) == ["app:1", "old:1"]


def test_containers_are_listed_by_their_labels() -> None:
    index, node, other = Index(), cast("Member", Up()), cast("Member", Up())
    for number, labels in enumerate(({"a": "1"}, {"a": "1", "b": "2"}, {"a=1": "x"}, {"a": "2"})):
        container = Container(node, str(number), ())
        index.add(container)
        container.tell({"Id": str(number), "Labels": labels, "State": "running"})
        index.summaries.label(container, labels)
        index.summaries.changed(container)

    def listed(*labels: str, nodes: tuple[Member, ...] | None = None) -> list[str]:
        return [each["Id"] for each in orjson.loads(index.listed(labels, nodes, running=True, now=0.0))]

    assert listed("a=1") == listed("a=1", nodes=(node,)) == ["0", "1"]
    assert listed("a=1", "b=2") == ["1"]
    assert listed("a=1", nodes=(other,)) == listed("a=1=x") == listed("c=3") == []
    index.remove({each for each in index.containers.find("1") if each.id == "1"})
    assert listed("a=1") == ["0"]
    assert listed("b=2") == []


def test_a_list_by_labels_is_kept_until_something_changes_unless_there_are_many_or_it_is_long() -> None:
    index, node = Index(), cast("Member", Up())

    def add(id: str, **summary: Any) -> None:
        container = Container(node, id)
        index.add(container)
        container.tell({"Id": id, "Labels": {"a": "1"}, "State": "running", **summary})
        index.summaries.label(container, {"a": "1"})
        index.summaries.changed(container)

    def listed(*labels: str) -> bytes:
        return index.listed(labels, None, running=True, now=0.0)

    add("first")
    kept = listed("a=1")
    assert listed("a=1") is kept
    for number in range(256):
        listed(f"b={number}")
    assert listed("a=1") is not kept
    add("second", Command="c" * 70_000)
    assert [each["Id"] for each in orjson.loads(listed("a=1"))] == ["first", "second"]
    assert listed("a=1") is not listed("a=1")
