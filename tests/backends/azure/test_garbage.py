"""What makes no sense, to the fake: bodies that were tampered with, and bytes that are no HTTP."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import pytest
import trio

from swarmlib_backends.azure import fakearm
from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.sdk import LOCATION, Sdk, machine_body

JUNK = (None, 0, -1, "", "x", [], {}, [{}], {"id": "x"}, True, "10.0.0.0/8", ["x"], {"name": "a"})
REQUESTS = 400


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, the whole of it excepted."""
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(each, (*path, key))


def tampered(body: dict[str, Any], random: Random) -> dict[str, Any]:
    """The body, with something in it gone or replaced by junk."""
    found = copy.deepcopy(body)
    *above, last = random.choice([*places(found)])
    holder: Any = found
    for key in above:
        holder = holder[key]
    if random.random() < 0.4:
        del holder[last]
    else:
        holder[last] = copy.deepcopy(random.choice(JUNK))
    return found


def bodies(interface: str) -> dict[str, dict[str, Any]]:
    """A good body of each type, by the end of its path."""
    subnet = {"id": interface.partition("/networkInterfaces/")[0] + "/virtualNetworks/net/subnets/default"}
    public = {"name": "p", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    own = [{"name": "i", "properties": {"subnet": subnet, "publicIPAddressConfiguration": public}}]
    machine = machine_body(interface, priority="Spot")
    machine["properties"]["networkProfile"]["networkInterfaceConfigurations"] = [
        {"name": "n", "properties": {"ipConfigurations": own}}
    ]
    machine["properties"]["storageProfile"]["dataDisks"] = [{"lun": 0, "createOption": "Empty", "diskSizeGB": 4}]
    rule = {"protocol": "Tcp", "access": "Allow", "priority": 100, "direction": "Inbound", "sourceAddressPrefix": "*"}
    rule |= {"sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}
    fixed = {"subnet": subnet, "privateIPAddress": "10.0.0.9", "privateIPAllocationMethod": "Static"}
    addresses = [{"name": "a", "properties": fixed}, {"name": "b", "properties": {"subnet": subnet}}]
    prefixes = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    return {
        "Microsoft.Compute/virtualMachines/vm": machine | {"zones": ["1"], "tags": {"a": "b"}},
        "Microsoft.Compute/disks/d": {"properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}},
        "Microsoft.Network/networkInterfaces/n": {"properties": {"ipConfigurations": addresses}},
        "Microsoft.Network/publicIPAddresses/p": public,
        "Microsoft.Network/networkSecurityGroups/g": {
            "properties": {"securityRules": [{"name": "r", "properties": rule}]}
        },
        "Microsoft.Network/virtualNetworks/v": {
            "properties": prefixes | {"subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}
        },
        "Microsoft.Network/virtualNetworks/net/subnets/s": {"properties": {"addressPrefix": "10.0.8.0/24"}},
    }


async def test_a_body_that_was_tampered_with_is_refused_or_taken_but_never_breaks_anything(
    sdk: Sdk, arm: FakeArm
) -> None:
    random = Random(7)
    good = bodies(await sdk.network_for("vm"))
    place = f"{arm.url}/subscriptions/{arm.state.subscription}/resourceGroups/prod/providers"
    headers = {"Authorization": f"Bearer {arm.tokens.issue()}"}
    seen: set[tuple[str, int]] = set()
    async with httpx.AsyncClient(verify=arm.tls, headers=headers, params={"api-version": "2024-11-01"}) as client:
        for _ in range(REQUESTS):
            path, body = random.choice([*good.items()])
            method = random.choice(["PUT"] * 5 + ["PATCH", "GET", "DELETE"])
            whole = body if "/subnets/" in path else {"location": LOCATION, **body}
            sent = tampered(whole, random) if random.random() < 0.9 else whole
            answer = await client.request(method, f"{place}/{path}", json=None if method in ("GET", "DELETE") else sent)
            seen.add((method, answer.status_code // 100))
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"], answer
            assert answer.status_code < 500, (answer.text, sent)
    assert {("PUT", 2), ("PUT", 4), ("PATCH", 4), ("GET", 2), ("DELETE", 2)} <= seen
    # That no answer was against the documents, the fixture says.


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 1_100_000 + b"\r\n\r\n", b"400"),
        (b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 5_000_000, b"400"),
        (b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /subscriptions HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE", b"401"),  # the request before it is answered first
    ],
)
async def test_what_is_no_request_is_refused_and_the_next_client_is_served(
    arm: FakeArm, sent: bytes, status: bytes
) -> None:
    host, port = arm.url.removeprefix("https://").split(":")
    stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=arm.tls)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, stream, sent)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 " + status)
            nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
    async with httpx.AsyncClient(verify=arm.tls) as client:
        assert (await client.get(arm.url)).status_code == 401


async def send(stream: trio.SSLStream[trio.SocketStream], data: bytes) -> None:
    with suppress(trio.BrokenResourceError):  # it did not read to the end of that
        await stream.send_all(data)


async def test_a_client_without_tls_harms_nobody(arm: FakeArm) -> None:
    host, port = arm.url.removeprefix("https://").split(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with trio.fail_after(10):
            while await stream.receive_some():
                pass
    async with httpx.AsyncClient(verify=arm.tls) as client:
        assert (await client.get(arm.url)).status_code == 401


async def test_without_the_documents_a_body_of_the_wrong_shape_is_an_error_and_not_the_end() -> None:
    async with fakearm.serving() as arm:
        headers = {"Authorization": f"Bearer {arm.tokens.issue()}"}
        url = f"{arm.url}/subscriptions/{arm.state.subscription}/resourcegroups/prod?api-version=2024-11-01"
        async with httpx.AsyncClient(verify=arm.tls, headers=headers) as client:
            assert (await client.put(url, json={"location": LOCATION})).status_code == 201
            machine = url.replace("?", "/providers/Microsoft.Compute/virtualMachines/vm?")
            broken = await client.put(machine, json={"location": LOCATION, "properties": {"hardwareProfile": 3}})
            assert (broken.status_code, "makes no sense" in broken.text) == (500, True)
            assert (await client.get(url)).status_code == 200
            assert (await client.put(url, content=b"{")).json()["error"]["code"] == "InvalidRequestContent"
