"""Clients that are containers: the engine is asked about them, and what it does not tell never allows more."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from swarmlib import Chain, Client, Denied, Meta, Request, Sender, Verb
from swarmlib.asking import call
from swarmlib_backends import Chaos, Policy, Simulator
from swarmlib_backends.policy.calling import KNOWN_SECONDS

SLEEPS = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}


@asynccontextmanager
async def opened(folder: Path, client: str, rule: str) -> AsyncGenerator[tuple[Sender, Client]]:
    """A policy with a rule for a client, and the engine behind it."""
    (folder / "rules.toml").write_text(f'[clients.it]\n{client}\n[[rule]]\nclients = ["it"]\n{rule}\n')
    async with Chain(Simulator()).open() as engine, Policy(folder / "rules.toml").open(engine) as policy:
        yield policy, Client(engine)


async def lists(policy: Sender, caller: str) -> bool:
    try:
        await call(policy, Request(Verb.LS, ("containers",), meta=Meta(caller=caller)))
    except Denied:
        return False
    return True


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        ('container_labels = ["role=ci"]', True),
        ('container_labels = ["role"]', True),
        ('container_labels = ["role=web"]', False),
        ('container_labels = ["rol"]', False),
        ('container_images = ["busybox"]', True),
        ('container_images = ["docker.io/library/busybox:latest"]', True),
        ('container_images = ["busybox:2"]', False),
        ('containers = ["runner"]', True),
        ('containers = ["runne"]', False),
        ('container_labels = ["role=web"]\ncontainer_images = ["busybox"]', True),
    ],
)
async def test_a_container_is_known_by_its_labels_its_image_and_its_name(
    tmp_path: Path, client: str, allowed: bool
) -> None:
    async with opened(tmp_path, client, 'allow = ["ContainerList"]') as (policy, engine):
        runner = await engine.spawn(SLEEPS | {"Labels": {"role": "ci"}}, name="runner")
        for _ in range(2):
            assert await lists(policy, f"container:{runner.id}") is allowed
            assert await lists(policy, f"tenant:red/container:{runner.id}") is allowed
        assert not await lists(policy, "uid:0")


async def test_the_image_of_a_container_is_known_by_its_id_too(tmp_path: Path) -> None:
    async with opened(tmp_path, 'containers = ["x"]', 'allow = ["ContainerList"]') as (_, engine):
        runner = await engine.spawn(SLEEPS, name="runner")
        id: Any = (await runner.get())["Image"]
        (tmp_path / "by_id.toml").write_text(
            f'[clients.it]\ncontainer_images = ["{id}"]\n[[rule]]\nclients = ["it"]\nallow = ["ContainerList"]\n'
        )
        async with Policy(tmp_path / "by_id.toml").open(engine.sender) as policy:
            assert await lists(policy, f"container:{runner.id}")


@pytest.mark.parametrize("key", ["allow", "deny"])
async def test_a_container_of_which_nothing_is_known_is_allowed_nothing_more(
    tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    rules = f'{key} = ["ContainerList"]\n' + ('[[rule]]\nallow = ["ContainerList"]' if key == "deny" else "")
    async with opened(tmp_path, 'container_labels = ["role=web"]', rules) as (policy, engine):
        with caplog.at_level(logging.WARNING):
            assert await lists(policy, f"container:{'a' * 64}") is False
        assert "nothing is known about the container aaaa" in caplog.text
        other = await engine.spawn(SLEEPS)
        assert await lists(policy, f"container:{other.id}") is (key == "deny")


async def test_an_engine_that_fails_lets_nobody_pass(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        '[clients.it]\ncontainer_labels = ["x"]\n[[rule]]\nclients = ["it"]\nallow = ["ContainerList"]\n'
    )
    async with Chain(
        Policy(tmp_path / "rules.toml"), Chaos(errors=["get containers/*=1"]), Simulator()
    ).open() as policy:
        assert not await lists(policy, f"container:{'a' * 64}")


async def test_a_new_name_counts_after_a_while(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with opened(tmp_path, 'containers = ["runner"]', 'allow = ["ContainerList"]') as (policy, engine):
        runner = await engine.spawn(SLEEPS, name="runner")
        assert await lists(policy, f"container:{runner.id}")
        await engine.call(Verb.SET, ("containers", runner.id, "rename"), params={"name": "other"})
        autojump_clock.jump(KNOWN_SECONDS + 1)
        assert not await lists(policy, f"container:{runner.id}")
