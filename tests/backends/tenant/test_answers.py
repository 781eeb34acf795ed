"""Every field of the official schema that holds a name is shown as the tenant's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmlib import Handler, Request, Server, Set, Verb, ask
from swarmlib.service import Unhandled
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.rows import ROWS
from swarmlib_backends.tenant.operations import OPERATIONS
from tests.support.answer_samples import answers, places
from tests.support.paths import DATA
from tests.support.tenants import tenants

REAL, IMAGE, ID = "alice.real", "tenant.invalid/alice/real:1", "a" * 64
SECRETS = (REAL, IMAGE, "swarmlib.tenant")
LABELS = {"swarmlib.tenant": "alice", "mine": "1"}
NETWORKS = {REAL: {"Aliases": [REAL], "Links": [f"{REAL}:x"], "DNSNames": [REAL], "NetworkID": ID}}
HOLDING: Mapping[str, Any] = {
    **dict.fromkeys(("Name", "name"), f"/{REAL}"),
    **dict.fromkeys(("Image", "from"), IMAGE),
    **{name: [IMAGE] for name in ("RepoTags", "RepoDigests", "Tags")},
    **{name: [f"/{REAL}"] for name in ("Names", "NetworksDeleted", "VolumesDeleted", "Aliases")},
    **{name: [f"{REAL}:x"] for name in ("Binds", "Links", "VolumesFrom")},
    **dict.fromkeys(("Warning", "Err", "Error", "Message"), f"no {REAL} there"),
    **{name: [f"no {REAL} there"] for name in ("Warnings",)},
    "Mountpoint": f"/volumes/{REAL}/_data",
    "Source": REAL,
    "Type": "volume",
    "Labels": LABELS,
    "Networks": NETWORKS,
    "NetworkMode": ID,
    "Id": ID,
    "Untagged": IMAGE,
}
"""What fields hold at the engine, by their names."""


OF_NO_OBJECT = {"SystemVersion", "SystemInfo", "DistributionInspect", "ImageSearch"}
"""Operations whose answers name no object, but parts of the engine, and registries and what they have."""

OTHERS = {(name, "Name") for name in ("DriverConfig", "GraphDriver", "Snapshot", "Ulimits", "RestartPolicy", "Peers")}
OTHERS |= {("Signature", name) for name in ("Name", "Error", "Warnings")}
"""Fields in which a name is not that of an object."""


@dataclass
class Sampled(Server):
    """An engine that has one object of each kind, in which every field is."""

    samples: Mapping[str, Any]

    def choose(self, request: Request) -> Handler:
        return self._answer

    async def _answer(self, request: Request) -> Any:
        row = table.row_of(request.verb, request.path, upload=request.upload is not None)
        await request.reply.set(self.samples.get(row.name))
        await request.reply.ack()


@pytest.mark.parametrize("version", ["41", "56"])
async def test_every_field_that_holds_a_name_is_mapped(version: str, tmp_path: Path) -> None:
    samples = dict(answers(DATA / f"docker-v1.{version}.yaml", HOLDING))
    left = set[tuple[str, ...]]()
    samples["ExecInspect"] |= {"ContainerID": ID}
    samples["VolumeInspect"] |= {"Name": REAL}
    async with Sampled(samples).open(Unhandled()) as engine, tenants(engine, tmp_path) as (alice, _):
        for row in ROWS:
            if row.name not in (OPERATIONS.keys() & samples.keys()) - OF_NO_OBJECT or row.verb not in (
                Verb.GET,
                Verb.LS,
                Verb.RM,
            ):
                continue
            async with await ask(alice.sender, Request(row.verb, row.path(ID))) as replies:
                shown = [reply.json async for reply in replies if isinstance(reply, Set)]
            assert shown, row.name
            left |= {(row.name, *place) for secret in SECRETS for place in places(shown, secret)}
    assert {place for place in left if place[-2:] not in OTHERS} == set()
