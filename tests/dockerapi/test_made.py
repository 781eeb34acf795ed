"""What the canonical form of a creation says is what an engine makes of the same bytes, field by field."""

import copy
from typing import Any

import pytest

from tests.bench.made import CHANGED, HOST, TYPES, VALUES, Bench, asked_of, differences
from tests.support.engines import Engine
from tests.support.same_answers import Place

SEEDS = 100
NOT_ASKED_FOR = {
    "Image": "it is the same in all bodies",
    "Annotations": "the engine does not know it yet",
}
"""Fields of a container that bodies have no values for, with the reasons."""


@pytest.mark.engine
def test_an_engine_makes_what_the_canonical_form_says(engines: tuple[Engine, Engine]) -> None:
    bench = Bench(Place(str(engines[0].socket)))
    try:
        assert [(seed, found) for seed in range(SEEDS) for found in bench.one(asked_of(seed))] == []
    finally:
        bench.clear()
    assert bench.seen["compared"] > SEEDS / 2


def test_every_field_is_asked_for() -> None:
    fields = TYPES["ContainerConfig"].keys() | TYPES["HostConfig"].keys()
    assert fields - VALUES.keys() - HOST.keys() == NOT_ASKED_FOR.keys()
    assert {place.partition(".")[2] for place in CHANGED} <= fields


PLAIN: dict[str, Any] = {
    "Config": {"Image": "busybox", "Hostname": "0123456789ab", "Cmd": ["sh"], "Labels": {}, "Env": None},
    "HostConfig": {"Privileged": False, "Memory": 0, "MemorySwap": 0, "Binds": None, "Init": None},
    "NetworkSettings": {"Networks": {"bridge": {}}},
}


@pytest.mark.parametrize(
    ("asked", "section", "made"),
    [
        ({}, "HostConfig", {"Privileged": True}),
        ({"HostConfig": {"Privileged": True}}, "HostConfig", {"Privileged": False}),
        ({"HostConfig": {"Binds": ["/a:/b:ro"]}}, "HostConfig", {"Binds": ["/a:/b"]}),
        ({"HostConfig": {"Memory": 5}}, "HostConfig", {"Memory": 5, "MemorySwap": 11}),
        ({"Labels": {"a": "1"}}, "Config", {"Labels": {"A": "1"}}),
        ({"NetworkingConfig": {"EndpointsConfig": {"app": {"Aliases": ["x"]}}}}, "Config", {}),
    ],
)
def test_a_difference_is_found(asked: dict[str, Any], section: str, made: dict[str, Any]) -> None:
    there: dict[str, Any] = copy.deepcopy(PLAIN) | {"Id": "0123456789ab"}
    assert list(differences({"Image": "busybox"}, there, PLAIN)) == []
    there[section] |= made
    assert list(differences({"Image": "busybox", **asked}, there, PLAIN))
