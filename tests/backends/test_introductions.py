"""Who answers behind a stage, as it is told at the start; and what is missing where an extra is not installed."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from swarmlib import BadAnswer, Chain, Invalid, Json, Request, Server, SwarmError, Unavailable
from swarmlib.checking import preflight
from swarmlib_backends import Aci, Azure, Kubernetes, Remote, Trace
from tests.support.scripted_http import Answer, Asked, served


async def test_the_engine_at_the_other_side_introduces_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"unix://{tmp_path}/x.sock"
    async with Chain(f"listen {url}", "simulator").open():
        assert (await Remote(url).greet()).startswith(f"Docker {version('swarmlib')}, API 1.41, linux/")
    with pytest.raises(Unavailable, match=r"^can't connect to unix:.*: No such file or directory$"):
        await Remote(url).greet()
    assert not caplog.records  # the stage that runs logs that it is not connected


@pytest.mark.parametrize("told", [[], {}, {"Version": "1", "ApiVersion": 1, "Os": "a", "Arch": "b"}, "text"])
async def test_an_introduction_that_is_none_is_refused(told: Any, tmp_path: Path) -> None:
    class Odd(Server):
        async def get(self, _: Request) -> Json:
            return Json.from_data(told)

    url = f"unix://{tmp_path}/x.sock"
    async with Chain(f"listen {url}", Odd()).open():
        with pytest.raises(
            BadAnswer, match="its version must be an object with the texts Version, ApiVersion, Os, Arch"
        ):
            await Remote(url).greet()


@pytest.mark.parametrize(
    ("told", "status", "said"),
    [
        ({"gitVersion": "v1.20.2"}, 200, "Kubernetes v1.20.2, namespace ci"),
        ({"gitVersion": None}, 200, "version must be an object with the text gitVersion"),
        ([], 200, "version must be an object with the text gitVersion"),
        ({"kind": "Status", "message": "who are you?", "code": 401}, 401, "who are you?"),
    ],
)
async def test_a_cluster_introduces_itself(told: Any, status: int, said: str, tmp_path: Path) -> None:
    async def apiserver(asked: Asked, answer: Answer) -> None:
        assert asked.path == "/version"
        await answer.json(told, status)

    async with served(apiserver) as server:
        config = tmp_path / "kubeconfig"
        context = {"cluster": "a", "user": "a", "namespace": "ci"}
        parts = {
            "clusters": {"cluster": {"server": server.url}},
            "users": {"user": {}},
            "contexts": {"context": context},
        }
        whole = {kind: [{"name": "a", **part}] for kind, part in parts.items()}
        config.write_text(yaml.safe_dump({**whole, "current-context": "a"}))
        try:
            found = await Kubernetes(kubeconfig=str(config)).greet()
        except SwarmError as exc:
            found = exc.message
    assert said in found


@pytest.mark.parametrize(
    ("stage", "modules", "extra"),
    [
        (Aci("group"), ["engine"], "azure"),
        (Azure("group"), ["engines"], "azure"),
        (Kubernetes(), ["engine", "api.client"], "kubernetes"),
        (Trace("http://127.0.0.1:1"), ["exporting"], "tracing"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_the_extra_is_asked_for_where_it_is_missing(
    stage: Any, modules: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in modules:  # which can't be imported then, as where what they import is missing
        monkeypatch.setitem(sys.modules, f"swarmlib_backends.{stage.name}.{name}", None)
    (fault,) = await preflight(Chain(stage))
    assert f"{stage.name} requires its extra: pip install 'swarmlib[{extra}]' (" in fault.message
    with pytest.raises(Invalid, match=f"requires its extra: pip install 'swarmlib\\[{extra}\\]'"):
        async with Chain(stage).open():
            pass
