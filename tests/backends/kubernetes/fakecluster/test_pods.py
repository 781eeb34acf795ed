"""Pods that run: the same tests for the fake in both of its releases, and for the real cluster."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from swarmlib import Invalid
from swarmlib_backends.kubernetes.api.resources import EVENTS, PODS
from swarmlib_backends.kubernetes.api.watch import Kind, watch
from swarmlib_backends.kubernetes.pods.shim import BUSYBOX, FOLDER
from swarmlib_backends.kubernetes.streams.negotiate import Dialects
from swarmlib_backends.kubernetes.streams.remote import RemoteCommand, remote_command
from tests.backends.kubernetes.conftest import Place

_SECONDS = 60


class Pod:
    """A Pod of one container, `main`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.name = f"p{secrets.token_hex(4)}"
        self.path = PODS.path(place.namespace, self.name)

    async def make(self, *command: str, container: Any = None, **spec: Any) -> "Pod":
        main = {"name": "main", "image": "busybox:1", **({"command": command} if command else {}), **(container or {})}
        whole = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2, "containers": [main], **spec}
        body = {"metadata": {"name": self.name, "labels": {"test": self.name}}, "spec": whole}
        made = await self._place.api.post(PODS.path(self._place.namespace), body)
        assert self._place.schemas.errors(made) == []
        return self

    async def until(self, fits: Callable[[Any], object]) -> Any:
        """The Pod, once it fits."""
        with trio.fail_after(_SECONDS):
            async with watch(self._place.api, PODS, self._place.namespace, f"test={self.name}") as changes:
                async for change in changes:
                    if change.object and change.kind is not Kind.DELETED and fits(change.object):
                        return change.object
        raise AssertionError

    async def running(self) -> Any:
        return await self.until(lambda pod: pod["status"]["phase"] == "Running")

    async def ended(self) -> Any:
        """The Pod, once it has ended; and what its container ended with."""
        pod = await self.until(lambda pod: "terminated" in _state(pod))
        assert self._place.schemas.errors({"apiVersion": "v1", "kind": "Pod", **pod}) == []
        return _state(pod)["terminated"]

    async def log(self, **params: str) -> bytes:
        async with self._place.api.stream(f"{self.path}/log", params) as stream:
            return b"".join([bytes(piece) async for piece in stream])

    async def ran(self, *command: str, **options: Any) -> tuple[int | None, dict[str, bytes]]:
        """The exit code of an exec, and what it wrote."""
        return await self.joined(RemoteCommand("exec", "main", command, **options), b"")

    async def joined(
        self, command: RemoteCommand, given: bytes, once: Callable[[], Awaitable[object]] | None = None
    ) -> tuple[int | None, dict[str, bytes]]:
        """What an exec or attach gives; `once` is called when it has begun."""
        found: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        place, dialects = self._place, Dialects()
        with trio.fail_after(_SECONDS):
            async with remote_command(place.api, place.namespace, self.name, command, dialects=dialects) as process:
                if command.stdin:
                    await process.send(given)
                    await process.end_input()
                if once is not None:
                    await once()
                while (received := await process.receive()) is not None:
                    found[received[0]] += received[1]
                return process.exit_code, found


def _state(pod: Any) -> Any:
    """The state of its container; {} before it has one."""
    return (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]


async def test_a_pod_runs_to_its_end(place: Place) -> None:
    pod = await Pod(place).make(
        "sh", "-c", "echo $A; echo err >&2; exit 3", container={"env": [{"name": "A", "value": "1"}]}
    )
    ended = await pod.ended()
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert sorted((await pod.log()).splitlines()) == [b"1", b"err"]
    assert len((await pod.log(timestamps="true", tailLines="1")).split()[0]) > 20
    assert await pod.log(sinceTime="2100-01-01T00:00:00Z") == b""


async def test_words_are_expanded_as_kubernetes_does(place: Place) -> None:
    env = [{"name": "A", "value": "a"}, {"name": "B", "value": "$(A)$$(A)$(NO)"}]
    pod = await Pod(place).make("echo", "$(B)", "$$", "$$(A)", container={"env": env})
    await pod.ended()
    assert await pod.log() == b"a$(A)$(NO) $ $(A)\n"


async def test_logs_are_followed_to_the_end(place: Place) -> None:
    pod = await Pod(place).make("sh", "-c", "echo one; sleep 1; echo two")
    await pod.until(lambda pod: _state(pod).keys() & {"running", "terminated"})  # a kubelet looks once a second
    assert await pod.log(follow="true") == b"one\ntwo\n"


async def test_what_has_not_begun_has_no_log(place: Place) -> None:
    pod = await Pod(place).make("true", container={"image": "nosuch:none", "imagePullPolicy": "Never"})
    await pod.until(lambda pod: "ErrImageNeverPull" in str(pod["status"].get("containerStatuses")))
    with pytest.raises(Invalid, match=r'container "main" in pod ".*" is waiting to start: ErrImageNeverPull'):
        await pod.log()


async def test_an_exec_has_streams_an_end_of_input_and_an_exit_code(place: Place) -> None:
    pod = await Pod(place).make("sleep", "1000", container={"env": [{"name": "A", "value": "1"}]})
    await pod.running()
    assert await pod.ran("sh", "-c", "echo $A; echo err >&2; exit 4") == (4, {"stdout": b"1\n", "stderr": b"err\n"})
    cat = RemoteCommand("exec", "main", ("cat",), stdin=True)
    assert await pod.joined(cat, b"x" * 100_000) == (0, {"stdout": b"x" * 100_000, "stderr": b""})
    code, said = await pod.ran("nosuch")
    assert code in (126, 127)
    assert b'exec: "nosuch": executable file not found in $PATH' in said["stdout"] + said["stderr"]


async def test_an_attach_has_all_that_a_container_at_its_gate_writes(place: Place) -> None:
    tools = {"name": "tools", "mountPath": FOLDER}
    script = f"until [ -e {FOLDER}/go ]; do {BUSYBOX} sleep 0.02; done; echo out; echo err >&2; cat; exit 7"
    copy = ["/bin/busybox", "cp", "/bin/busybox", BUSYBOX]
    pod = await Pod(place).make(
        BUSYBOX, "sh", "-c", script,
        container={"stdin": True, "stdinOnce": True, "volumeMounts": [tools]},
        volumes=[{"name": "tools", "emptyDir": {}}],
        initContainers=[{"name": "copy", "image": "busybox:1", "command": copy, "volumeMounts": [tools]}],
    )  # fmt: skip
    await pod.running()
    attach = RemoteCommand("attach", "main", (), stdin=True)
    _, said = await pod.joined(attach, b"typed\n", lambda: pod.ran(BUSYBOX, "sh", "-c", f": >{FOLDER}/go"))
    assert said == {"stdout": b"out\ntyped\n", "stderr": b"err\n"}
    assert (await pod.ended())["exitCode"] == 7


@pytest.mark.parametrize("place", ["1.20", "1.35"], indirect=True)  # 1.20's kubelet may never tell the end
async def test_a_deadline_stops_a_container_that_keeps_its_own_exit_code(place: Place) -> None:
    script = "trap 'echo bye; exit 5' TERM; while :; do sleep 0.1; done"
    pod = await Pod(place).make("sh", "-c", script)
    await pod.running()
    await place.api.patch(pod.path, {"spec": {"activeDeadlineSeconds": 1}})
    assert (await pod.ended())["exitCode"] == 5
    now = await place.api.get(pod.path)
    assert (now["status"]["phase"], now["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert await pod.log() == b"bye\n"


async def test_signals_reach_a_container_that_shares_its_processes(place: Place) -> None:
    pod = await Pod(place).make("sh", "-c", "echo $$$$ >/pid; exec sleep 1000", shareProcessNamespace=True)
    await pod.running()
    with trio.move_on_after(10):  # the end of an exec that kills its own container may never be told
        await pod.ran("sh", "-c", "until [ -s /pid ]; do :; done; kill -KILL $(cat /pid)")
    assert (await pod.ended())["exitCode"] == 137


async def test_a_deleted_pod_ends_in_its_time_and_is_gone(place: Place) -> None:
    pod = await Pod(place).make("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    await pod.running()
    async with watch(place.api, PODS, place.namespace, f"test={pod.name}") as changes:
        with trio.fail_after(_SECONDS):
            async for change in changes:
                if change.kind is Kind.SYNCED:
                    deleted = await place.api.delete(pod.path)
                    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 2
                if change.kind is Kind.DELETED:
                    break


async def test_a_restart_policy_restarts(place: Place) -> None:
    pod = await Pod(place).make("sh", "-c", "echo run; exit 1", restartPolicy="OnFailure")
    again = await pod.until(lambda pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount"))
    assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1


async def test_what_happens_to_a_pod_is_told_by_events(place: Place) -> None:
    pod = await Pod(place).make("true")
    await pod.ended()
    told = await place.api.get(EVENTS.path(place.namespace), {"fieldSelector": f"involvedObject.name={pod.name}"})
    assert place.schemas.errors(told) == []
    assert {"Scheduled", "Started"} <= {each["reason"] for each in told["items"]}
