"""Published ports: what a tenant asks for, what it gets of its range, and what it is shown."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from swarmlib import Denied, Invalid
from swarmlib_backends.tenant import ports
from swarmlib_backends.tenant.ports import LABEL, Asked, Ports, Published

SPAN = range(20000, 20010)


def bindings(*asked: str, ip: str = "") -> dict[str, Any]:
    """The body of a container that publishes `PORT` of the host as its own port 80, 81, …"""
    given = {f"{80 + at}/tcp": [{"HostIp": ip, "HostPort": each}] for at, each in enumerate(asked)}
    return {"HostConfig": {"PortBindings": given}}


def publish(known: Ports, id: str, body: Mapping[str, Any], address: str = "") -> dict[str, Any]:
    chosen = known.choose(SPAN, ports.asked(body, []))
    known.note(id, chosen)
    return ports.published(body, chosen, address)


def given(body: Mapping[str, Any]) -> list[str]:
    return [each["HostPort"] for found in body["HostConfig"]["PortBindings"].values() for each in found]


def test_each_port_gets_one_of_the_range_and_the_same_one_again() -> None:
    known = Ports()
    first = publish(known, "a", bindings("8080", "8081", ""))
    assert given(first) == ["20000", "20001", "20002"]
    known.note("a", ())
    assert given(publish(known, "b", bindings("8081"))) == ["20001"]


def test_who_asks_for_a_port_twice_gets_the_same_one_so_that_the_engine_finds_the_conflict() -> None:
    known = Ports()
    assert given(publish(known, "a", bindings("8080"))) == given(publish(known, "b", bindings("8080")))
    assert given(publish(known, "c", bindings("8080", ip="127.0.0.2"))) != ["20000"]
    known.note("a", ())
    assert given(publish(known, "d", bindings("8080"))) == ["20000"]


def test_of_a_range_of_the_host_the_first_is_taken_that_is_free() -> None:
    known = Ports()
    publish(known, "a", bindings("8000-8001"))
    publish(known, "b", bindings("8000-8001"))
    assert sorted(each.asked for each in known.choose(SPAN, [Asked("80/tcp", "", range(8000, 8003))])) == [8002]


def test_a_range_that_is_exhausted_refuses() -> None:
    known = Ports()
    for number in range(10):
        publish(known, str(number), bindings(str(8000 + number)))
    with pytest.raises(Denied, match="no port of the tenant is free: all 10 ports of 20000-20009 are published"):
        publish(known, "more", bindings("9000"))
    with pytest.raises(Denied, match="no port of the tenant is free: it may publish none"):
        known.choose(range(0), ports.asked(bindings("80"), []))


@pytest.mark.parametrize("wrong", ["x", "0-1", "70000", "9-8", "80/tcp", "-1", "٣"])
def test_a_wrong_port_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="invalid port specification"):
        ports.asked(bindings(wrong), [])


def test_all_exposed_ports_get_one_of_the_range_too() -> None:
    body = {"ExposedPorts": {"90/udp": {}}, "HostConfig": {"PublishAllPorts": True}}
    made = ports.published(body, Ports().choose(SPAN, ports.asked(body, ["80", "90/udp"])), "")
    assert made["HostConfig"]["PublishAllPorts"] is False
    assert {port: len(found) for port, found in made["HostConfig"]["PortBindings"].items()} == {
        "90/udp": 1,
        "80/tcp": 1,
    }


def test_ports_are_published_at_the_address_of_the_terms() -> None:
    made = publish(Ports(), "a", bindings("8080", ip="127.0.0.9"), "10.0.0.1")
    assert made["HostConfig"]["PortBindings"]["80/tcp"] == [{"HostIp": "10.0.0.1", "HostPort": "20000"}]


def inspected(body: Mapping[str, Any]) -> dict[str, Any]:
    bound = {port: [dict(each) for each in found] for port, found in body["HostConfig"]["PortBindings"].items()}
    return {"Config": {"Labels": body["Labels"]}, "HostConfig": {}, "NetworkSettings": {"Ports": bound}}


def test_an_inspection_shows_what_was_asked_for() -> None:
    found = inspected(publish(Ports(), "a", bindings("8080", ""), "10.0.0.1"))
    found = dict(ports.show_inspected(found))
    assert found["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "20001"}],
    }
    assert found["HostConfig"]["PortBindings"]["80/tcp"] == [{"HostIp": "", "HostPort": "8080"}]
    assert found["HostConfig"]["PortBindings"]["81/tcp"] == [{"HostIp": "", "HostPort": ""}]


def test_a_list_and_an_error_show_what_was_asked_for() -> None:
    body = publish(Ports(), "a", bindings("8080"))
    (number,) = given(body)
    found = {"Labels": body["Labels"], "Ports": [{"IP": "::", "PrivatePort": 80, "PublicPort": int(number)}]}
    assert ports.show_listed(found)["Ports"] == [{"IP": "::", "PrivatePort": 80, "PublicPort": 8080}]
    text = f"Bind for 0.0.0.0:{number} failed: port is already allocated (:{number}9)".encode()
    shown = b"Bind for 0.0.0.0:8080 failed: port is already allocated (:200009)"
    assert ports.show_text(text, ports.labelled(body["Labels"])) == shown


@pytest.mark.parametrize("label", ["", "{}", "[1]", '[["80/tcp","",1]]', '[["80/tcp","","x",2]]', "\ud800"])
def test_a_wrong_label_tells_nothing(label: str) -> None:
    assert ports.labelled({LABEL: label}) == []


def test_an_images_label_tells_nothing_of_its_containers() -> None:
    assert json.loads(publish(Ports(), "a", {"Image": "busybox"})["Labels"][LABEL]) == []


def test_a_filter_by_port_means_the_ports_that_were_asked_for() -> None:
    known = Ports()
    chosen: Sequence[Published] = known.choose(SPAN, ports.asked(bindings("8080", "53"), []))
    known.note("a", chosen)
    assert known.at_engine("8080") == [str(chosen[0].given)]
    assert known.at_engine("50-60/tcp") == [f"{chosen[1].given}/tcp"]
    assert known.at_engine("8080/udp") == []
    assert known.at_engine("http") == ["http"]
