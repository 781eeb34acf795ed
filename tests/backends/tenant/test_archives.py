"""Archives of a tenant's images: what is loaded gets names of the tenant's, and what is saved has them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from swarmlib import BytesStream, Client, Denied, Request, SwarmError, Verb
from swarmlib.asking import call
from tests.support.builds import Content, context

from .test_builds import FROM, build, world


async def saved(client: Client, *names: str) -> dict[str, bytes]:
    """The files of an archive."""
    answer = await call(client.sender, Request(Verb.FILE, ("images",), {"names": list(names)}))
    data = b""
    assert answer.ack.stream is not None
    async with answer.ack.stream as stream:
        async for piece in stream:
            data += piece
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive if each.isreg()}
        return {name: content.read() for name, content in found.items() if content is not None}


async def load(client: Client, files: dict[str, Content]) -> Any:
    return await call(client.sender, Request(Verb.FILE, ("images",), upload=BytesStream(context(files))))


async def test_what_is_saved_has_the_tenants_names_and_loads_under_them(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await build(alice, FROM + "ENV made=1\n", t=["app:1", "localhost:5000/team/app"])
        files = await saved(alice, "app:1", "localhost:5000/team/app:latest")
        tags = [tag for each in json.loads(files["manifest.json"]) for tag in each["RepoTags"]]
        assert sorted(tags) == ["app:1", "localhost:5000/team/app:latest"]
        assert not [name for name, content in files.items() if b"tenant.invalid" in content]
        answer = await load(bob, dict(files))
        assert "Loaded image: app:1\n" in [each.json["stream"] for each in answer.before]
        found = await bob.get("images", "app:1")
        assert "made=1" in found["Config"]["Env"]
        assert "swarmlib" not in str(found)
        real = await engine.get("images", "tenant.invalid/bob/app:1")
        assert real["Config"]["Labels"] == {"swarmlib.tenant": "bob"}


async def test_nobody_loads_over_the_image_of_another(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await build(bob, FROM, t=["app"])
        await build(engine, FROM, t=["operators"])
        await build(alice, FROM + "ENV evil=1\n", t=["app"])
        before = {name: (await engine.get("images", name))["Id"] for name in ("tenant.invalid/bob/app", "operators")}
        files = await saved(alice, "app:latest")
        (item,) = json.loads(files["manifest.json"])
        for tag in ("operators:latest", "tenant.invalid/bob/app:latest", "busybox:latest"):
            await load(alice, files | {"manifest.json": json.dumps([item | {"RepoTags": [tag]}])})
            assert "evil=1" in (await alice.get("images", tag))["Config"]["Env"]
        await load(alice, files | {"manifest.json": json.dumps([{"config": item["Config"], "LAYERS": item["Layers"]}])})
        assert {name: (await engine.get("images", name))["Id"] for name in before} == before
        tags = [tag for each in await engine.ls("images") for tag in each["RepoTags"]]
        assert sorted(tag for tag in tags if "alice" not in tag) == [
            "busybox:latest",
            "operators:latest",
            "tenant.invalid/bob/app:latest",
        ]
        assert any("alice/untagged:" in tag for tag in tags)


CONFIG: dict[str, Any] = {
    "rootfs": {"type": "layers", "diff_ids": []},
    "container_config": {"Cmd": ["x"]},
    "Parent": "x",
}
ITEM: dict[str, Any] = {"Config": "c", "RepoTags": ["evil:latest"], "Layers": []}
WRONG: dict[str, dict[str, Content]] = {
    "no manifest": {"c": json.dumps(CONFIG)},
    "only that of the old format": {"repositories": '{"operators":{"latest":"x"}}', "x/json": "{}"},
    "only that of another format": {"index.json": '{"manifests":[]}', "oci-layout": '{"imageLayoutVersion":"1.0.0"}'},
    "a manifest that is a link": {"m": json.dumps([ITEM]), "manifest.json": "->m", "c": json.dumps(CONFIG)},
    "a manifest that is no list": {"manifest.json": '{"Config":"c"}', "c": json.dumps(CONFIG)},
    "a manifest with a key twice": {"manifest.json": '[{"Config":"c","Config":"d"}]', "c": "{}", "d": "{}"},
    "a manifest that is not JSON": {"manifest.json": "[", "c": "{}"},
    "no configuration": {"manifest.json": json.dumps([ITEM])},
    "a configuration that is a link": {"manifest.json": json.dumps([ITEM]), "c": "->/etc/passwd"},
    "a configuration that is none": {"manifest.json": json.dumps([ITEM]), "c": '{"rootfs":[]}'},
    "a name that is none": {"manifest.json": json.dumps([ITEM | {"RepoTags": ["A B"]}]), "c": json.dumps(CONFIG)},
}


@pytest.mark.parametrize("what", WRONG)
async def test_an_archive_that_is_wrong_is_refused(what: str, tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, engine):
        before = await engine.ls("images", all=True)
        with pytest.raises(SwarmError):
            await load(alice, WRONG[what])
        assert await engine.ls("images", all=True) == before


@pytest.mark.parametrize("content", [None, b"", b"another"])
async def test_nobody_loads_a_layer_that_only_the_engine_has(content: bytes | None, tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, bob, engine):
        await build(bob, FROM + "COPY secret /\n", {"secret": "canary"}, t=["app"])
        files = await saved(engine, "tenant.invalid/bob/app:latest")
        (item,) = json.loads(files["manifest.json"])
        stolen: dict[str, Content] = {
            item["Config"]: files[item["Config"]],
            "manifest.json": json.dumps([item | {"RepoTags": ["stolen:latest"]}]),
        }
        if content is not None:
            stolen |= dict.fromkeys(item["Layers"], content)
        with pytest.raises(SwarmError, match="does not have the layers"):
            await load(alice, stolen)
        assert [each["RepoTags"] for each in await alice.ls("images")] == [["busybox:latest"]]


async def test_the_engine_gets_a_configuration_without_what_its_cache_compares(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, engine):
        config = {
            "rootfs": CONFIG["rootfs"],
            "pareNt": "x",
            "config": {"labels": {"swarmlib.tenant": "bob", "a": "b"}},
            "Container_Config": {"Cmd": ["y"]},
        }
        await load(alice, {"c": json.dumps(config), "manifest.json": json.dumps([ITEM])})
        files = await saved(engine, "tenant.invalid/alice/evil:latest")
        (item,) = json.loads(files["manifest.json"])
        made = json.loads(files[item["Config"]])
        assert made["config"]["Labels"] == {"swarmlib.tenant": "alice", "a": "b"}
        assert [name for name in made if name.lower() in ("container_config", "parent")] == []


async def test_a_push_needs_a_grant(tmp_path: Path) -> None:
    async with world(tmp_path) as (alice, _, _):
        await build(alice, FROM, t=["example.com/app"])
        with pytest.raises(Denied, match=r"tags = \['example.com/app:1'\]"):
            await alice.set("images", "example.com/app", "push", tag="1")
        with pytest.raises(Denied, match=r"registries = \['docker.io'\]"):
            await alice.get("search", term="x")
