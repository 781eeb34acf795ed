"""What is followed of a cluster stays complete, also after an exception that nobody has foreseen."""

import json
from pathlib import Path

import pytest
import trio

from swarmlib_backends.kubernetes import fakecluster
from swarmlib_backends.kubernetes.api.client import Api
from swarmlib_backends.kubernetes.api.kubeconfig import read_access
from swarmlib_backends.kubernetes.api.resources import CONFIG_MAPS
from swarmlib_backends.kubernetes.following import Body, Following
from swarmlib_backends.kubernetes.pods import names


class Names(Following):
    """The names of the ConfigMaps that there are. One is met by a bug."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, "default", (CONFIG_MAPS,))
        self.known: set[str] = set()
        self.failed = trio.Event()

    def note(self, body: Body, *, gone: bool) -> None:
        name = body["metadata"]["name"]
        if name == "poison":
            self.failed.set()
            raise ZeroDivisionError("a bug")
        (self.known.discard if gone else self.known.add)(name)


def config_map(name: str) -> Body:
    return {"metadata": {"name": name, "labels": {names.MANAGED_BY: names.OWNER}}}


async def test_a_bug_ends_no_watch_and_hides_no_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = CONFIG_MAPS.path("default")
    async with fakecluster.serving() as cluster:
        (tmp_path / "kubeconfig").write_text(json.dumps(cluster.kubeconfig()))
        async with Api.open(read_access(str(tmp_path / "kubeconfig"))) as api, trio.open_nursery() as nursery:
            following = Names(api)
            nursery.start_soon(following.run)
            await api.post(path, config_map("early"))
            await following.seen(await api.post(path, config_map("old")))
            await api.post(path, config_map("poison"))
            await following.failed.wait()
            await api.delete(f"{path}/old")
            await following.seen(await api.post(path, config_map("new")))
            assert following.known == {"early", "new"}
            await api.delete(f"{path}/early")
            await following.until(CONFIG_MAPS, lambda: following.known == {"new"}, "tell of a removal")
            nursery.cancel_scope.cancel()
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "kubernetes: the watch of configmaps failed: ZeroDivisionError: a bug" in told.getMessage()
