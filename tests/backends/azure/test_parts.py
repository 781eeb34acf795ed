"""The parts of the azure backend that need no Azure: options, cloud-init, and who this machine is to the outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from azure.core.exceptions import HttpResponseError
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarmlib import Chain, ChainSyntaxError, Invalid, Unavailable
from swarmlib_backends.azure.cloudinit import certificates, custom_data, docker, read
from swarmlib_backends.azure.fakearm import FakeArm
from tests.support.azure.backend import azure, lead
from tests.support.azure.sdk import Sdk, machine_body


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--max -1", "0 or more"),
        ("--poll 0", "above 0"),
        ("--max-hours 24", "from 0 to 23"),
        ("--tag owner", "NAME=VALUE"),
        ("--idle soon", "expected a number with a unit"),
        ("--vm-idle soon", "expected a number with a unit"),
        ("--security some", "expected one of standard, trusted, confidential"),
    ],
)
def test_a_wrong_option_is_refused_with_the_chain(words: str, said: str) -> None:
    with pytest.raises(ChainSyntaxError, match=said):
        Chain.read(f"azure {words}")


def test_docker_is_installed_by_cloud_init() -> None:
    found = docker("swarm", ["containerslots=3"], tls=False)
    assert found.startswith(b"#cloud-config\n")
    config = yaml.safe_load(found)
    assert config["packages"] == ["docker.io"]
    assert ["usermod", "-aG", "docker", "swarm"] in config["runcmd"]
    assert yaml.safe_load(config["write_files"][0]["content"]) == {"labels": ["containerslots=3"]}
    assert custom_data([found]) == found
    assert custom_data([]) == b""


def test_an_engine_that_is_reached_by_tls_asks_for_certificates_where_they_are() -> None:
    config = yaml.safe_load(docker("swarm", [], tls=True))
    settings, unit = config["write_files"]
    given = {
        each["path"]: (each["content"], each["permissions"])
        for each in yaml.safe_load(certificates(b"the ca", b"the cert", b"the key"))["write_files"]
    }
    assert yaml.safe_load(settings["content"]) == {
        "labels": [],
        "hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2376"],
        "tlsverify": True,
        "tlscacert": "/etc/docker/certs/ca.pem",
        "tlscert": "/etc/docker/certs/cert.pem",
        "tlskey": "/etc/docker/certs/key.pem",
    }
    assert given == {
        "/etc/docker/certs/ca.pem": ("the ca", "0600"),
        "/etc/docker/certs/cert.pem": ("the cert", "0600"),
        "/etc/docker/certs/key.pem": ("the key", "0600"),
    }
    assert "-H" not in unit["content"]


def test_the_users_own_file_for_cloud_init_is_merged(tmp_path: Path) -> None:
    script = tmp_path / "puppet.sh"
    script.write_text("#!/bin/sh\napt-get install -y puppet-agent  # ü\n")
    found: Message = message_from_bytes(custom_data([docker("swarm", [], tls=False), read(script)]))
    parts = found.get_payload()
    assert isinstance(parts, list)
    assert [part.get_content_type() for part in parts if isinstance(part, Message)] == [
        "text/cloud-config",
        "text/x-shellscript",
    ]
    text = parts[1].get_payload(decode=True)
    assert text == script.read_bytes()
    assert custom_data([read(script)]) == script.read_bytes()


def test_a_file_that_is_none_of_cloud_inits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(Invalid, match="can't read"):
        read(file)
    file.write_text("hello")
    with pytest.raises(Invalid, match="is not a file for cloud-init"):
        read(file)
    file.write_text("#!" + "x" * 70_000)
    with pytest.raises(Invalid, match="the maximum is 65535"):
        custom_data([read(file)])


@contextmanager
def telling(text: bytes) -> Iterator[str]:
    """A service that tells everybody the same."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_only_this_machines_own_address_may_log_in_unless_others_are_named(
    arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(arm, tmp_path, monkeypatch)
    with telling(b"203.0.113.9\n") as url:
        async with azure(allow=[], whoami=url) as swarm:
            await swarm.spawn({"Image": "ubuntu"}, name="web")
    (rule,) = arm.state.of_type("Microsoft.Network/networkSecurityGroups/securityRules")
    assert rule.properties["sourceAddressPrefix"] == "203.0.113.9"
    with telling(b"<html>log in first</html>") as url:
        async with azure(allow=[], whoami=url) as swarm:
            with pytest.raises(Unavailable, match="as this machine's address: give the address by --allow"):
                await swarm.spawn({"Image": "ubuntu"}, name="other")
    async with azure(allow=["here"]) as swarm:
        with pytest.raises(Invalid, match="--allow here"):
            await swarm.spawn({"Image": "ubuntu"}, name="other")


async def test_a_key_of_a_type_that_azure_does_not_take_is_neither_chosen_nor_sent(
    arm: FakeArm, sdk: Sdk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(arm, tmp_path, monkeypatch)
    (tmp_path / ".ssh/id_ecdsa.pub").write_text("ecdsa-sha2-nistp256 AAAA me\n")
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu"}, name="web")
    (tmp_path / ".ssh/id_ed25519.pub").unlink()
    async with azure() as swarm:
        with pytest.raises(Invalid, match="no ssh key found"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
    async with azure(ssh_key=str(tmp_path / ".ssh/id_ecdsa.pub")) as swarm:
        with pytest.raises(Invalid, match="key of type ecdsa-sha2-nistp256: Azure takes ssh-ed25519 and ssh-rsa only"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
    profile = machine_body("")["properties"]["osProfile"]
    profile["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] = "ecdsa-sha2-nistp256 AAAA me"
    with pytest.raises(HttpResponseError, match="keyData is invalid"):
        await sdk.machine("other", await sdk.network_for("other"), osProfile=profile)


@pytest.mark.parametrize(
    ("key", "said"), [("ssh-ed25519 AAAA me", "is malformed"), ("", "has 1024 bits: the minimum is 2048")]
)
async def test_a_key_that_azure_would_refuse_is_refused_first(
    arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    lead(arm, tmp_path, monkeypatch)
    short = rsa.generate_private_key(65537, 1024).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (tmp_path / ".ssh/id_ed25519.pub").write_text(key or short.decode())
    async with azure() as swarm:
        with pytest.raises(Invalid, match=said):
            await swarm.spawn({"Image": "ubuntu"}, name="web")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({f"t{number}": "" for number in range(36)}, "can't have 36 tags: the maximum is 35"),
        ({"Microsoft.x": ""}, "must not begin with microsoft, azure, windows"),
        ({"azuread": ""}, "must not begin with microsoft, azure, windows"),
        ({"a/b": ""}, "can't be a tag"),
        ({"": "x"}, "can't be a tag"),
        ({"n" * 513: ""}, "at most 512 characters in its name"),
        ({"a": "v" * 257}, "256 in its value"),
        ({"Tier": "a", "tier": "b"}, "Tier and tier are one tag for Azure"),
    ],
)
async def test_tags_that_azure_does_not_allow_are_refused_first(
    led: FakeArm, sdk: Sdk, tags: dict[str, str], said: str
) -> None:
    async with azure() as swarm:
        with pytest.raises(Invalid, match=said):
            await swarm.spawn({"Image": "ubuntu", "Labels": tags}, name="web")
        assert led.state.groups == {}
        web = await swarm.spawn({"Image": "ubuntu"}, name="web")
        with pytest.raises(Invalid, match=said):
            await web.set("update", body={"Labels": tags})
    (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
    many = {f"t{number}": "" for number in range(50)} if len(tags) > 2 else tags
    change = {"operation": "Merge", "properties": {"tags": many}}
    with pytest.raises(HttpResponseError, match="InvalidTag"):
        await sdk.resources.tags.begin_update_at_scope(str(machine.id), change)


@pytest.mark.parametrize(
    ("name", "asked", "host"), [("box_", "", "box"), ("my_web.1", "", "my-web-1"), ("box", "db.local", "db.local")]
)
async def test_the_host_name_is_one_that_azure_allows(led: FakeArm, name: str, asked: str, host: str) -> None:
    async with azure() as swarm:
        await swarm.spawn({"Image": "ubuntu", "Hostname": asked}, name=name)
        (machine,) = led.state.of_type("Microsoft.Compute/virtualMachines")
        assert machine.properties["osProfile"]["computerName"] == host
        for wrong in ("box-", "a_b", "h" * 65):
            with pytest.raises(Invalid, match="invalid host name"):
                await swarm.spawn({"Image": "ubuntu", "Hostname": wrong}, name="other")


async def test_without_an_ssh_key_it_is_said_how_to_get_one(
    arm: FakeArm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead(arm, tmp_path, monkeypatch)
    (tmp_path / ".ssh/id_ed25519.pub").unlink()
    async with azure() as swarm:
        with pytest.raises(Invalid, match=r"--ssh-key, or make one with ssh-keygen"):
            await swarm.spawn({"Image": "ubuntu"}, name="web")
