"""Names that a container searches for while it runs: of networks that it comes into, and of its links."""

from typing import Any

import pytest

from swarmlib import Client, SwarmError, Verb
from swarmlib.client.handles import Workload
from swarmlib_backends.kubernetes.api.resources import SERVICES
from swarmlib_backends.kubernetes.pods import names
from tests.backends.kubernetes.conftest import Place
from tests.backends.kubernetes.gateways import call, gateway, make, output

in_fakes = pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)
OF_NETWORK = "n-"
"""What the domains of networks begin with."""


async def networks(client: Client, *found: str) -> None:
    for each in found:
        await call(client, Verb.SPAWN, "networks", body={"Name": each})


async def running(client: Client, name: str, network: str, *links: str, **more: Any) -> Workload:
    """A container that runs in a network, with links there."""
    config = {"EndpointsConfig": {network: {"Links": [*links]}}}
    host = {"NetworkMode": network, **more.pop("host", {})}
    made = await make(client, name, "exec sleep 1000", host=host, NetworkingConfig=config, **more)
    await made.start()
    return made


async def pinged(container: Workload, name: str) -> str:
    """The address that a container finds for a name; "" for none."""
    ran = await container.exec(["ping", "-c", "1", "-W", "5", name])
    return ran.stdout.decode().partition("(")[2].partition(")")[0]


async def searched(container: Workload) -> list[str]:
    """The domains of networks that a container searches, which are its first ones."""
    ran = await container.exec(["cat", "/etc/resolv.conf"], check=True)
    (line,) = [line for line in ran.stdout.decode().splitlines() if line.startswith("search ")]
    first, *rest = line.split()[1:]
    found = [each for each in (first, *rest) if each.startswith(OF_NETWORK)]
    assert found == [first, *rest][: len(found)]
    return [each.partition(".")[0] for each in found]


async def address(client: Client, name: str, network: str) -> str:
    found = await call(client, Verb.GET, "containers", name)
    told: str = found["NetworkSettings"]["Networks"][network]["IPAddress"]
    assert told
    return told


async def move(client: Client, verb: str, network: str, name: str, **config: Any) -> None:
    body = {"Container": name, **({"EndpointConfig": config} if config else {})}
    await call(client, Verb.SET, "networks", network, verb, body=body)


async def test_a_running_container_searches_the_networks_that_it_is_in_now(place: Place) -> None:
    async with gateway(place) as client, gateway(place) as other:
        await networks(client, "one", "two")
        db = await running(client, "db", "one")
        late = await running(client, "late", "two")
        assert await pinged(late, "db") == ""
        await move(other, "connect", "one", "late")
        assert await pinged(late, "db") == await address(client, "db", "one")
        assert await searched(late) == [names.network_name(each) for each in ("two", "one")]
        await move(other, "disconnect", "one", "late")
        assert await pinged(late, "db") == ""
        for each in (db, late):
            await each.rm(force=True)


async def test_whoever_may_write_no_file_of_the_image_searches_its_networks_too(place: Place) -> None:
    async with gateway(place) as client:
        await networks(client, "three", "four")
        plain = await running(client, "plain", "three", User="1000:1000", host={"ReadonlyRootfs": True})
        await move(client, "connect", "four", "plain")
        assert await searched(plain) == [names.network_name(each) for each in ("three", "four")]
        await plain.rm(force=True)


@in_fakes
async def test_a_container_that_waits_for_its_start_comes_into_a_network(place: Place) -> None:
    async with gateway(place) as client:
        await networks(client, "one")
        waits = await make(client, "waits", "cat /etc/resolv.conf")
        async with waits.attach():
            await move(client, "connect", "one", "waits")
            await waits.start()
            await waits.wait()
        assert f"search {names.network_name('one')}." in await output(waits)
        await waits.rm(force=True)


async def test_a_link_is_a_name_for_one_container_alone_and_follows_the_other_one(place: Place) -> None:
    async with gateway(place) as client, gateway(place) as other:
        await networks(client, "net")
        db = await running(client, "my_db_1", "net")
        web = await running(other, "web", "net", "my_db_1:store", "my_db_1:db_1", "nobody:none")
        plain = await running(client, "plain", "net")
        assert await pinged(web, "store") == await address(client, "my_db_1", "net")
        assert await pinged(web, "none") == await pinged(plain, "store") == ""
        shown = await call(client, Verb.GET, "containers", "web")
        links = ["my_db_1:store", "my_db_1:db_1", "nobody:none"]
        assert shown["NetworkSettings"]["Networks"]["net"]["Links"] == links
        await db.rm(force=True)
        db = await running(client, "my_db_1", "net")
        assert await pinged(web, "store") == await address(client, "my_db_1", "net")
        for each in (db, web, plain):
            await each.rm(force=True)


@pytest.mark.parametrize("options", ["", "--keep"])
async def test_a_link_of_the_default_bridge_is_a_name_and_variables_of_one_container(
    place: Place, options: str
) -> None:
    async with gateway(place, options) as client, gateway(place, options) as other:
        db = await make(
            client, "my_db_1", "exec sleep 1000", Env=["A=it's $x", "B.C=1\n2"], ExposedPorts={"80/tcp": {}}
        )
        host = {"Links": ["my_db_1:store"]}
        early = await make(other, "early", "true", host=host)
        with pytest.raises(SwarmError, match="Cannot link to a non running container: /my_db_1 AS /early/store"):
            await early.start()
        await db.start()
        web = await make(other, "web", 'echo "$STORE_PORT_80_TCP_ADDR,$STORE_ENV_A"; exec sleep 1000', host=host)
        plain = await make(client, "plain", "exec sleep 1000")
        for each in (web, plain):
            await each.start()
        found = await address(client, "my_db_1", "bridge")
        assert found == await pinged(web, "store")
        assert await pinged(plain, "store") == ""
        assert await output(web) == f"{found},it's $x\n"
        told = (await web.exec(["env"], check=True)).stdout.decode()
        assert {f"STORE_PORT=tcp://{found}:80", "STORE_NAME=/web/store", "STORE_ENV_B.C=1"} <= {*told.splitlines()}
        if options:
            await db.stop(t="0")
            await db.start()
            assert await pinged(web, "store") == await address(client, "my_db_1", "bridge")
            await web.set("restart", t="0")
            assert (await output(web)).splitlines()[-1].startswith(await address(client, "my_db_1", "bridge"))
        await db.rm(force=True)
        with pytest.raises(SwarmError, match=f"non running container: /{db.id[:12]} AS /early/store"):
            await early.start()
        for each in (web, plain, early):
            await each.rm(force=True)


@in_fakes
@pytest.mark.parametrize(
    ("link", "wrong"),
    [("nosuch:x", "could not get container for nosuch: No such container: nosuch"), ("a:b:c", "bad f")],
)
async def test_a_link_to_no_container_is_refused_in_the_words_of_an_engine(place: Place, link: str, wrong: str) -> None:
    async with gateway(place) as client:
        with pytest.raises(SwarmError, match=wrong):
            await make(client, "web", "true", host={"Links": [link]})


@in_fakes
async def test_a_running_container_is_linked_when_it_comes_into_a_network(place: Place) -> None:
    async with gateway(place) as client:
        await networks(client, "net")
        db, web = await running(client, "db", "net"), await running(client, "web", "net")
        await move(client, "disconnect", "net", "web")
        await move(client, "connect", "net", "web", Links=["db:store"])
        assert await pinged(web, "store") == await address(client, "db", "net")
        services = (await place.api.get(SERVICES.path(place.namespace)))["items"]
        assert [each for each in services if each["metadata"]["name"] == names.links_name(web.id)]
        await move(client, "disconnect", "net", "db")
        assert await pinged(web, "store") == ""
        with pytest.raises(SwarmError, match=r"EndpointsConfig\.net\.Links 'db:a_b'|Links 'db:a_b'"):
            await move(client, "connect", "net", "db", Links=["db:a_b"])
        for each in (db, web):
            await each.rm(force=True)
