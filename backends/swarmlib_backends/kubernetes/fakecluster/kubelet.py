"""The nodes of the fake cluster: the scheduler that places Pods, and the kubelets that run them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Final

import trio

from ...dockerapi.nullable import dict_of, list_of
from ...http.serving import Body
from ..api.quantities import quantity
from ..api.resources import ENDPOINT_SLICES, EVENTS, NODES, PODS, SERVICES
from .containers import Surroundings
from .errors import StatusError
from .images import Image, image_of
from .objects import Objects
from .pod import Pod
from .store import key_of
from .volumes import Volumes

_ZONE: Final = ".svc.cluster.local"
_CAPACITY: Final = {"cpu": "8", "memory": "16Gi", "pods": "250", "ephemeral-storage": "100Gi"}


class Kubelets:
    """All nodes, and the Pods on them."""

    def __init__(self, objects: Objects, nodes: int) -> None:
        self._objects = objects
        self.pods: dict[str, Pod] = {}
        """The Pods by their uids."""
        self.frozen = False
        """Whether the kubelets do nothing: Pods that are placed don't begin."""
        self.look_seconds = 0.02
        """How long after the start of a container the kubelets tell that in the Pod's status, if it still runs."""
        self._volumes = Volumes(objects)
        self._pids, self._addresses, self._events = count(1000), count(2), count(1)
        for number in range(1, nodes + 1):
            self._add_node(f"node{number}", f"192.168.0.{number}")

    def _add_node(self, name: str, address: str) -> None:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        made = self._objects.create(NODES, "", {"metadata": {"name": name, "labels": labels}, "spec": {}})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
        times = {"lastHeartbeatTime": self._objects.time(), "lastTransitionTime": self._objects.time()}
        status = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [{**ready, **times}],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "nodeInfo": _INFO,
            "images": [],
        }
        self._objects.store.put(NODES, made | {"status": status})

    async def run(self) -> None:
        """Place and run Pods, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                seen = self._objects.store.version
                for pod in self._objects.store.all(PODS):
                    self._serve(pod, nursery)
                await self._objects.store.wait(seen)

    def _serve(self, object: Body, nursery: trio.Nursery) -> None:
        uid = object["metadata"]["uid"]
        if uid in self.pods or object["status"]["phase"] in ("Succeeded", "Failed"):
            return
        if "nodeName" not in object["spec"] and "deletionTimestamp" not in object["metadata"]:
            self._place(object)
        elif "nodeName" in object["spec"] and not self.frozen:
            address = f"10.244.0.{next(self._addresses)}"
            needs = (self._volumes, self._pull, self._note, self._around)
            pod = Pod(self._objects, object, address, *needs, look_seconds=self.look_seconds)
            self.pods[uid] = pod
            nursery.start_soon(self._run, uid, pod)

    async def _run(self, uid: str, pod: Pod) -> None:
        await pod.run()
        if self._objects.store.get(PODS, pod.key) is None:
            del self.pods[uid]

    # Places.

    def _place(self, object: Body) -> None:
        wanted = dict_of(object["spec"].get("nodeSelector"))
        for node in self._objects.store.all(NODES):
            labels = dict_of(node["metadata"].get("labels"))
            if wanted.items() <= labels.items() and not node["spec"].get("unschedulable") and self._fits(object, node):
                address = node["status"]["addresses"][0]["address"]
                placed = object | {"spec": object["spec"] | {"nodeName": node["metadata"]["name"]}}
                done = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
                status = {"hostIP": address, "conditions": [{**done, "lastTransitionTime": self._objects.time()}]}
                self._objects.store.put(PODS, placed | {"status": {**object["status"], **status}})
                self._note(
                    object,
                    "Scheduled",
                    f"Successfully assigned {'/'.join(key_of(object))} to {node['metadata']['name']}",
                    "",
                )
                return
        self._refuse(object)

    def _fits(self, object: Body, node: Body) -> bool:
        here = [
            each for each in self._objects.store.all(PODS) if each["spec"].get("nodeName") == node["metadata"]["name"]
        ]
        running = [each for each in here if each["status"]["phase"] not in ("Succeeded", "Failed")]
        for what in ("cpu", "memory"):
            asked = sum(_asked(each, what) for each in [*running, object])
            if asked > (quantity(node["status"]["allocatable"][what]) or 0.0):
                return False
        return True

    def _refuse(self, object: Body) -> None:
        if list_of(object["status"].get("conditions")):
            return
        nodes = len(self._objects.store.all(NODES))
        message = f"0/{nodes} nodes are available: {nodes} node(s) didn't match node selector or lack resources."
        why = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        condition = {**why, "lastProbeTime": None, "lastTransitionTime": self._objects.time()}
        self._objects.set_status(PODS, key_of(object), {"conditions": [condition]})
        self._note(object, "FailedScheduling", message, "")

    # What Pods need.

    def _pull(self, object: Body, container: Body) -> tuple[Image | None, str, str]:
        reference = container["image"]
        image = image_of(reference)
        if image is not None:
            return image, "", ""
        if container["imagePullPolicy"] == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            return None, "ErrImageNeverPull", message
        message = f"rpc error: code = Unknown desc = Error response from daemon: manifest for {reference} not found"
        return None, "ErrImagePull", message

    def _around(self, pod: Pod) -> Surroundings:
        shared = bool(pod.object["spec"].get("shareProcessNamespace"))
        hostname = pod.object["spec"].get("hostname") or pod.key[1]
        pids = (lambda: next(self._pids), lambda: pod.processes)
        return Surroundings(self._objects.clock, *pids, self._resolve, hostname, first=not shared)

    def _resolve(self, domains: Sequence[str], name: str) -> Sequence[str]:
        for full in [f"{name}.{domain}" for domain in domains] + [name]:
            if full.endswith(_ZONE) and (found := self._addressed(full.removesuffix(_ZONE).split("."))):
                return found
        return []

    def _addressed(self, labels: list[str]) -> list[str]:
        """Return the addresses of `SERVICE.NAMESPACE` or `HOSTNAME.SERVICE.NAMESPACE`."""
        if len(labels) not in (2, 3):
            return []
        *host, name, namespace = labels
        service = self._objects.store.get(SERVICES, (namespace, name))
        if service is None or (not host and service["spec"].get("clusterIP") != "None"):
            return [] if service is None else [service["spec"]["clusterIP"]]
        found: dict[str, None] = {}
        for slice in self._objects.store.all(ENDPOINT_SLICES, namespace):
            if dict_of(slice["metadata"].get("labels")).get("kubernetes.io/service-name") == name:
                for endpoint in list_of(slice.get("endpoints")):
                    if not host or endpoint.get("hostname") == host[0]:
                        found |= dict.fromkeys(endpoint["addresses"])
        return list(found)

    def _note(self, object: Body, reason: str, message: str, part: str) -> None:
        """Tell an event of a Pod, or of a part of it, such as `spec.containers{main}`; "" for none."""
        namespace, name = key_of(object)
        if self._objects.store.get(PODS, (namespace, name)) is None:
            return
        metadata = object["metadata"]
        about = {"kind": "Pod", "namespace": namespace, "name": name, "uid": metadata["uid"], "apiVersion": "v1"}
        about |= {"fieldPath": part} if part else {}
        warning = reason in ("BackOff", "Failed", "FailedMount", "FailedScheduling")
        times = {"firstTimestamp": self._objects.time(), "lastTimestamp": self._objects.time(), "count": 1}
        component = {"source": {"component": "kubelet"}, "type": "Warning" if warning else "Normal"}
        event = {"involvedObject": about, "reason": reason, "message": message, **times, **component}
        named = {"metadata": {"name": f"{name}.{next(self._events):016x}"}}
        with suppress(StatusError):  # the namespace is being deleted
            self._objects.create(EVENTS, namespace, {**named, **event})


def _asked(pod: Body, what: str) -> float:
    requests = [dict_of(dict_of(each.get("resources")).get("requests")) for each in pod["spec"]["containers"]]
    return sum(quantity(str(each.get(what))) or 0.0 for each in requests)


_INFO: Final = {
    "machineID": "fake",
    "systemUUID": "fake",
    "bootID": "fake",
    "kernelVersion": "5.10.0-simulated",
    "osImage": "Fake Linux",
    "containerRuntimeVersion": "docker://20.10.24",
    "kubeletVersion": "v1.20.2",
    "kubeProxyVersion": "v1.20.2",
    "operatingSystem": "linux",
    "architecture": "amd64",
}
