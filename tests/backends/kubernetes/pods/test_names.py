"""The names, labels and annotations of the objects that stand for containers."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import TooLarge
from swarmlib_backends.kubernetes.pods import names

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
ID = "0123456789ab" * 5 + "cdef"
DOCKER_NAMES = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,120}", fullmatch=True)


@given(DOCKER_NAMES)
def test_every_docker_name_gives_names_that_kubernetes_allows(name: str) -> None:
    made = (names.pod_name(name, ID), names.record_name(ID), names.reservation_name(name))
    for each in (*made, names.network_name(name), names.volume_name(name)):
        assert DNS_LABEL.fullmatch(each), each


@given(DOCKER_NAMES, DOCKER_NAMES)
def test_two_names_are_reserved_by_two_objects(one: str, other: str) -> None:
    assert (names.reservation_name(one) == names.reservation_name(other)) is (one == other)


def test_an_id_is_one_of_dockers() -> None:
    assert re.fullmatch("[0-9a-f]{64}", names.new_id())
    assert names.new_id() != names.new_id()


@given(st.dictionaries(st.text(max_size=80), st.text(max_size=80)))
def test_labels_come_back_whole_from_their_annotation(labels: dict[str, str]) -> None:
    annotation = names.labels_annotation({**labels, "a": "b"})
    assert orjson.loads(annotation[names.LABELS]) == {**labels, "a": "b"}
    for name, value in names.fitting_labels(labels).items():
        prefix, _, last = name.rpartition("/")
        assert LABEL_NAME.fullmatch(last), name
        assert not prefix or re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", prefix), name
        assert not value or LABEL_NAME.fullmatch(value), value


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("com.docker.compose.project", "shop", True),
        ("example.org/tier", "web", True),
        ("empty", "", True),
        ("with space", "x", False),
        ("x", "with space", False),
        ("x", "y" * 64, False),
        ("a/b/c", "x", False),
        ("/x", "y", False),
        ("x\n", "y", False),
        ("x", "y\n", False),
        ("\N{ARABIC-INDIC DIGIT ONE}", "x", False),
    ],
)
def test_labels_that_kubernetes_can_have_are_labels(name: str, value: str, fits: bool) -> None:
    assert bool(names.fitting_labels({name: value})) is fits


@pytest.mark.parametrize("name", [names.MANAGED_BY, names.CONTAINER, names.KIND, "swarmlib/other"])
def test_a_label_of_docker_is_never_taken_for_swarmlibs_own(name: str) -> None:
    assert names.fitting_labels({name: "x"}) == {}


def test_more_labels_than_an_object_may_have_are_refused() -> None:
    assert names.labels_annotation({"x": "y" * 4096})
    with pytest.raises(TooLarge, match="the labels have"):
        names.labels_annotation({str(n): "y" * 4096 for n in range(60)})
