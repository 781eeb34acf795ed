"""Pods: what becomes of a container's description."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import Invalid, SwarmError, Unsupported
from swarmlib_backends.kubernetes.pods import creation, names, search, shim, template
from swarmlib_backends.kubernetes.pods.claims import Claim
from swarmlib_backends.kubernetes.pods.options import PodOptions
from swarmlib_backends.kubernetes.pods.record import Image
from tests.backends.kubernetes.pods.containers import BUSYBOX, ID, OPTIONS, host, made, main

SHIM = [shim.BUSYBOX, "sh", "/.swarm/shim"]
HIDDEN = ["SHLVL", "PWD", "OLDPWD"]
WITHOUT_TOOLS = PodOptions(tools="never")


def expanded(text: str) -> str:
    """What Kubernetes makes of a text if no variable is known: `$$` is `$`, and `$(NAME)` stays."""
    return text.replace("$$", "$")


def words(pod: dict[str, Any]) -> list[str]:
    """The command behind the shim's options."""
    command: list[str] = main(pod)["command"]
    return command[command.index("--") + 1 :]


@given(st.lists(st.text("$()AB {}", min_size=1), min_size=1), st.text("$()AB"))
def test_what_has_dollars_arrives_as_it_is(given_words: list[str], value: str) -> None:
    pod = made({"Cmd": given_words, "Env": [f"A={value}"]})
    assert [expanded(word) for word in words(pod)] == given_words
    assert all("$(" not in word.replace("$$", "") for word in words(pod))
    assert [expanded(each["value"]) for each in main(pod)["env"]] == [value]


def test_a_container_is_started_by_the_shim_if_all_of_its_command_is_known() -> None:
    image = Image(config={"Entrypoint": ["/run"], "Cmd": ["fast"]})
    command = main(made({}, image=image))["command"]
    assert command[:3] == SHIM
    assert words(made({}, image=image)) == ["/run", "fast"]
    assert words(made({"Cmd": ["slow"]}, image=image)) == ["/run", "slow"]
    assert words(made({"Entrypoint": ["sh"], "Cmd": ["-c", "x"]}, image=None)) == ["sh", "-c", "x"]
    assert words(made({"Entrypoint": [""], "Cmd": ["x"]}, image=image)) == ["x"]


def test_the_runtime_starts_a_container_whose_entrypoint_is_not_known() -> None:
    pod = made({"Cmd": ["echo", "$HOME"], "Env": ["A=$(B)"]}, image=None)
    assert "command" not in main(pod)
    assert main(pod)["args"] == ["echo", "$$HOME"]
    assert main(pod)["env"] == [{"name": "A", "value": "$$(B)"}]
    assert pod["spec"]["initContainers"][0]["image"] == "busybox:1"
    for more, options in (({"gate": True}, OPTIONS), ({}, PodOptions(keep=True)), ({}, PodOptions(tools="always"))):
        with pytest.raises(Unsupported, match="the entrypoint of the image is not known: give one with --entrypoint"):
            made({"Cmd": ["echo"]}, options, None, **more)


def test_a_container_with_nothing_to_run_is_refused_as_an_engine_does() -> None:
    with pytest.raises(Invalid, match="No command specified"):
        made({}, image=Image())


def test_stderr_is_written_by_a_container_beside_unless_there_is_a_terminal() -> None:
    capturing = replace(OPTIONS, capture=True)
    own, beside = made(options=capturing)["spec"]["containers"]
    assert own["command"][:4] == [*SHIM, "-c"]
    assert (beside["name"], beside["command"]) == (names.STDERR, [*SHIM, "-r", "once"])
    assert beside["volumeMounts"] == [shim.MOUNT]
    again = made(host(RestartPolicy={"Name": "always"}), options=capturing)["spec"]["containers"][1]
    assert again["command"] == [*SHIM, "-r"]
    assert [each["name"] for each in made({"Tty": True}, options=capturing)["spec"]["containers"]] == [names.MAIN]
    with pytest.raises(Unsupported, match="the entrypoint of the image is not known"):
        made(options=capturing, image=None)


def test_the_gate_and_the_supervisor_stand_before_the_shim() -> None:
    assert main(made({}))["command"][2:4] == ["/.swarm/shim", "-u"]
    assert main(made({}, gate=True))["command"][2:5] == ["/.swarm/runs", "gate", "-n"]
    kept = made({}, PodOptions(keep=True))
    assert main(kept)["command"][2:5] == ["/.swarm/runs", "keep", "-n"]
    assert "kill -15" in main(kept)["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_at_the_gate_a_container_has_an_input_that_its_command_gets_only_if_it_asks_for_one() -> None:
    assert main(made({}))["stdin"] is False
    for body, hidden in (({}, True), ({"OpenStdin": True}, False), ({"Tty": True}, False)):
        gated = main(made(body, gate=True))
        assert gated["stdin"] is True
        assert ("-n" in gated["command"]) is hidden


def test_a_container_that_removes_itself_is_not_kept() -> None:
    for remove in (False, True):
        new = creation.new(
            "web", {"Image": "busybox:1", **host(AutoRemove=remove)}, BUSYBOX, PodOptions(keep=True), 1.0
        )
        assert new.keep is not remove


def test_variables_that_a_shell_cannot_hold_follow_the_command() -> None:
    pod = made({"Cmd": ["env"], "Env": ["A=1", "a.b=$x", "x y=z", "GONE", "PWD=/x"]})
    assert [each["name"] for each in main(pod)["env"]] == ["A", "PWD"]
    assert words(pod) == ["env", "a.b=$$x", "x y=z"]
    command = main(pod)["command"]
    assert command[command.index("-e") + 1] == "2"
    unset = [command[n + 1] for n, word in enumerate(command) if word == "-u"]
    assert unset[:3] == ["GONE", "SHLVL", "OLDPWD"]
    assert "KUBERNETES_SERVICE_HOST" in unset
    with pytest.raises(Unsupported, match="rename one of them"):
        made({"Cmd": ["a=b"], "Env": ["c.d=e"]})


def test_a_container_that_may_use_the_clusters_api_keeps_the_clusters_variables() -> None:
    pod = made({}, PodOptions(service_account="robot"))
    assert "KUBERNETES_SERVICE_HOST" not in main(pod)["command"]
    assert (pod["spec"]["serviceAccountName"], pod["spec"]["automountServiceAccountToken"]) == ("robot", True)
    assert made()["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"Env": ["x y=1"]}, "Env 'x y=1' (Kubernetes does not allow its name"),
        ({"Env": ["GONE"]}, "Env 'GONE' (swarmlib's tools would have to remove the variable)"),
        ({"StopSignal": "SIGINT"}, "StopSignal 'SIGINT' (swarmlib's tools would have to send it)"),
    ],
)
def test_without_tools_what_needs_them_is_refused(body: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported) as raised:
        made(body, WITHOUT_TOOLS)
    assert said in str(raised.value)


def test_without_tools_a_pod_has_nothing_of_swarmlibs() -> None:
    spec = made({"Cmd": ["true"]}, WITHOUT_TOOLS)["spec"]
    assert not {"initContainers", "volumes", "shareProcessNamespace"} & spec.keys()
    assert made(host(Init=True), WITHOUT_TOOLS)["spec"]["shareProcessNamespace"] is True


def test_a_pod_belongs_to_its_record_and_carries_the_labels() -> None:
    labels = {"com.docker.compose.project": "shop", "any thing": "x y", names.CONTAINER: "other"}
    about = made({"Labels": labels})["metadata"]
    assert about["name"] == f"web-{ID[:12]}"
    assert about["ownerReferences"][0] == {**about["ownerReferences"][0], "kind": "ConfigMap", "uid": "uid"}
    assert about["labels"]["com.docker.compose.project"] == "shop"
    assert about["labels"][names.CONTAINER] == ID[:32]
    assert about["annotations"][names.RUN] == "1"
    assert '"any thing":"x y"' in about["annotations"][names.LABELS]


CONTAINER_FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"WorkingDir": "/srv"}, {"workingDir": "/srv"}),
    ({"Tty": True, "OpenStdin": True, "StdinOnce": True}, {"tty": True, "stdin": True, "stdinOnce": True}),
    ({"ExposedPorts": {"53/udp": {}}}, {"ports": [{"containerPort": 53, "protocol": "UDP"}]}),
    (host(PortBindings={"80": []}), {"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
    (host(Memory=1000), {"resources": {"limits": {"memory": "1000"}, "requests": {"memory": "1000"}}}),
    (host(MemoryReservation=10), {"resources": {"requests": {"memory": "10"}}}),
    (host(NanoCpus=1), {"resources": {"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}}}),
    (host(CpuQuota=150_000), {"resources": {"limits": {"cpu": "1500m"}, "requests": {"cpu": "1500m"}}}),
    (host(CpuQuota=-1), {}),
    (host(CpuShares=512), {"resources": {"requests": {"cpu": "500m"}}}),
    (
        host(DeviceRequests=[{"Count": 2, "Capabilities": [["gpu", "compute"]]}]),
        {"resources": {"limits": {"nvidia.com/gpu": "2"}}},
    ),
]


@pytest.mark.parametrize(("body", "fields"), CONTAINER_FIELDS)
def test_a_containers_fields(body: dict[str, Any], fields: dict[str, Any]) -> None:
    plain = main(made())
    assert main(made(body)) == plain | fields


def test_less_may_be_requested_than_is_allowed() -> None:
    found = main(made(host(Memory=1000, NanoCpus=2 * 10**9), PodOptions(requests=0.1)))["resources"]
    assert found == {"limits": {"memory": "1000", "cpu": "2000m"}, "requests": {"memory": "100", "cpu": "200m"}}


SECURITY: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"User": "1000"}, {"runAsUser": 1000}),
    ({"User": "root:7"}, {"runAsUser": 0, "runAsGroup": 7}),
    (host(CapAdd=["CAP_SYS_TIME"], CapDrop=["all"]), {"capabilities": {"add": ["SYS_TIME"], "drop": ["ALL"]}}),
    (host(ReadonlyRootfs=True), {"readOnlyRootFilesystem": True}),
    (host(SecurityOpt=["no-new-privileges"]), {"allowPrivilegeEscalation": False}),
    (host(SecurityOpt=["no-new-privileges:false"]), {}),
    (host(SecurityOpt=["seccomp:unconfined"]), {"seccompProfile": {"type": "Unconfined"}}),
    (host(SecurityOpt=["label=disable"]), {"seLinuxOptions": {"type": "spc_t"}}),
    (host(SecurityOpt=["label=level:s0", "label:user:u"]), {"seLinuxOptions": {"level": "s0", "user": "u"}}),
]


@pytest.mark.parametrize(("body", "fields"), SECURITY)
def test_a_containers_security(body: dict[str, Any], fields: dict[str, Any]) -> None:
    usual = {"seccompProfile": {"type": "RuntimeDefault"}}
    assert main(made(body))["securityContext"] == usual | fields


def test_a_privileged_container_is_not_confined() -> None:
    assert main(made(host(Privileged=True)))["securityContext"] == {"privileged": True}
    annotations = made(host(SecurityOpt=["apparmor=mine"]))["metadata"]["annotations"]
    assert annotations["container.apparmor.security.beta.kubernetes.io/main"] == "localhost/mine"


POD_FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"Hostname": "db"}, {"hostname": "db"}),
    ({"StopTimeout": 0}, {"terminationGracePeriodSeconds": 0}),
    ({"StopTimeout": -1}, {"terminationGracePeriodSeconds": 10**8}),
    (host(GroupAdd=["7"]), {"securityContext": {"supplementalGroups": [7]}}),
    (host(Sysctls={"net.a": "1"}), {"securityContext": {"sysctls": [{"name": "net.a", "value": "1"}]}}),
    (host(Dns=["8.8.8.8"]), {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["8.8.8.8"]}}),
    (host(DnsSearch=["."], DnsOptions=["ndots:1"]), {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}),
    (host(ExtraHosts=["a:10.0.0.1", "b=10.0.0.1"]), {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}]}),
    (host(RestartPolicy={"Name": "always"}), {"restartPolicy": "Always"}),
    (host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 2}), {"restartPolicy": "OnFailure"}),
    (host(IpcMode="host"), {"hostIPC": True}),
    (host(Runtime="runsc"), {"runtimeClassName": "runsc"}),
    (host(Runtime="runc"), {}),
    ({"Labels": {"swarmlib.isolation": "kata"}}, {"runtimeClassName": "kata"}),
]


@pytest.mark.parametrize(("body", "fields"), POD_FIELDS)
def test_a_pods_fields(body: dict[str, Any], fields: dict[str, Any]) -> None:
    plain = made()["spec"]
    assert made(body)["spec"] == plain | fields


def test_a_container_in_the_nodes_network_has_its_names() -> None:
    spec = made(host(NetworkMode="host"))["spec"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "Default")
    assert "hostname" not in spec


VOLUMES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        host(Binds=["data:/d:ro"]),
        {"persistentVolumeClaim": {"claimName": names.volume_name("data")}},
        {"mountPath": "/d", "readOnly": True},
    ),
    ({"Volumes": {"/d": {}}}, {"emptyDir": {}}, {"mountPath": "/d"}),
    (
        host(Tmpfs={"/t": "size=64k,noexec"}),
        {"emptyDir": {"medium": "Memory", "sizeLimit": "65536"}},
        {"mountPath": "/t"},
    ),
    (host(ShmSize=7), {"emptyDir": {"medium": "Memory", "sizeLimit": "7"}}, {"mountPath": "/dev/shm"}),
    (
        host(Mounts=[{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9}}]),
        {"emptyDir": {"medium": "Memory", "sizeLimit": "9"}},
        {"mountPath": "/t"},
    ),
]


@pytest.mark.parametrize(("body", "source", "mount"), VOLUMES)
def test_volumes(body: dict[str, Any], source: dict[str, Any], mount: dict[str, Any]) -> None:
    pod = made(body)
    assert pod["spec"]["volumes"][1:] == [{"name": "v0", **source}]
    assert main(pod)["volumeMounts"] == [shim.MOUNT, search.MOUNT, {"name": "v0", **mount}]


def test_a_volume_gets_what_the_image_has_there_unless_that_is_not_wanted() -> None:
    mount = {"Type": "volume", "Source": "data", "Target": "/d"}
    brings, fills = made(host(Mounts=[mount]))["spec"]["initContainers"]
    assert (brings["name"], fills["image"]) == (shim.VOLUME, "busybox:1")
    assert fills["command"][-2:] == ["/d", "/.swarm-volumes/v0"]
    assert len(made(host(Mounts=[mount | {"VolumeOptions": {"NoCopy": True}}]))["spec"]["initContainers"]) == 1


def test_a_container_runs_where_its_volume_is_mounted_unless_all_nodes_may_mount_it() -> None:
    body = {"Labels": {"com.docker.swarm.affinities": '["tier==web"]'}, **host(Binds=["data:/d", "data:/e"])}
    pod = made(body)
    label = names.volume_label("data")
    assert pod["metadata"]["labels"][label] == ""
    required = pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [each["labelSelector"] for each in required] == [
        {"matchLabels": {"tier": "web"}},
        {"matchExpressions": [{"key": label, "operator": "Exists"}]},
    ]
    everywhere = PodOptions(claim=Claim(access_mode="ReadWriteMany"))
    assert "affinity" not in made(host(Binds=["data:/d"]), everywhere)["spec"]


def test_without_tools_nothing_fills_a_volume() -> None:
    assert made(host(Binds=["data:/d:nocopy"]), WITHOUT_TOOLS)["spec"]["volumes"]
    with pytest.raises(Unsupported, match="mount it with nocopy"):
        made(host(Binds=["data:/d"]), WITHOUT_TOOLS)


def test_rules_for_the_placement_are_rules_about_labels() -> None:
    body = {"Env": ["constraint:topology.kubernetes.io/zone==a", "constraint:node!=~n1", "affinity:tier==web", "A=1"]}
    record = creation.new("web", body | {"Image": "busybox"}, BUSYBOX, OPTIONS, 1.0)
    assert record.body["Env"] == ["A=1"]
    affinity = made(record.body)["spec"]["affinity"]
    nodes = affinity["nodeAffinity"]
    (required,) = nodes["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required["matchExpressions"] == [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]
    (preferred,) = nodes["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchExpressions"][0]["operator"] == "NotIn"
    (term,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"] == {"matchLabels": {"tier": "web"}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"User": "web"}, "User 'web' (give the numbers of users and groups"),
        ({"User": "1:" + "9" * 12}, "User '1:999999999999'"),
        ({"Hostname": "My_Host"}, "Hostname 'My_Host' (it has lower case letters"),
        (host(GroupAdd=["audio"]), "HostConfig.GroupAdd 'audio'"),
        (host(CapAdd=["X\n"]), "HostConfig.CapAdd"),
        (host(SecurityOpt=['seccomp={"x":1}']), "HostConfig.SecurityOpt 'seccomp' (a profile must be on the node"),
        (host(SecurityOpt=["other=1"]), "HostConfig.SecurityOpt 'other=1' (it can have no-new-privileges"),
        (host(SecurityOpt=["apparmor=a b"]), "HostConfig.SecurityOpt 'apparmor'"),
        (host(Sysctls={"a/b": "1"}), "HostConfig.Sysctls.a/b"),
        (host(Tmpfs={"/t": "uid=7"}), "HostConfig.Tmpfs./t 'uid=7'"),
        (host(Tmpfs={"/t": "size=50%"}), "HostConfig.Tmpfs./t 'size=50%'"),
        (host(Binds=["data:/.swarm/x"]), "a mount at '/.swarm/x' (swarmlib has its tools there)"),
        (host(ExtraHosts=["h:host-gateway"]), "HostConfig.ExtraHosts 'h:host-gateway'"),
        (host(ExtraHosts=["my_db:10.0.0.1"]), "HostConfig.ExtraHosts 'my_db:10.0.0.1'"),
        (host(Dns=["example.org"]), "HostConfig.Dns 'example.org'"),
        (host(NetworkMode="none"), "HostConfig.NetworkMode 'none' (every Pod has a network)"),
        (host(NetworkMode="container:x"), "HostConfig.NetworkMode 'container:x'"),
        (host(DeviceRequests=[{"Count": -1, "Capabilities": [["gpu"]]}]), "a Pod asks for a number of GPUs"),
        (host(DeviceRequests=[{"Driver": "amd", "Count": 1}]), "GPUs of NVIDIA are the devices"),
        (host(CpuPeriod=5), "HostConfig.CpuPeriod (it has a meaning only together with CpuQuota)"),
        ({"Labels": {"com.docker.swarm.constraints": '["a==b*"]'}}, "the constraint 'a==b*' (Kubernetes compares"),
        ({"Labels": {"com.docker.swarm.affinities": '["container==x"]'}}, "the affinity 'container==x'"),
    ],
)
def test_what_a_pod_cannot_have_is_refused_by_name(body: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported) as raised:
        made(body)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (host(RestartPolicy={"Name": "sometimes"}), "invalid restart policy 'sometimes'"),
        (host(RestartPolicy={"Name": "always"}, AutoRemove=True), "can't create 'AutoRemove' container"),
        ({"Healthcheck": {"Interval": 5}}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"StopSignal": "SIGNONE"}, "Invalid signal: SIGNONE"),
        ({"WorkingDir": "x"}, "the working directory 'x' is invalid"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        (host(Memory=-1), "HostConfig.Memory must be 0 or more, not -1"),
        (host(Binds=["../x:/y"]), "includes invalid characters for a local volume name"),
        (host(PortBindings={"x/tcp": []}), 'invalid port specification: "x/tcp"'),
        (host(ExtraHosts=["x"]), 'bad format for add-host: "x"'),
        (host(ShmSize=-1), "SHM size can not be less than 0"),
    ],
)
def test_what_no_engine_takes_is_refused_in_its_words(body: dict[str, Any], said: str) -> None:
    with pytest.raises(SwarmError) as raised:
        made(body)
    assert said in str(raised.value)


# Templates.


def test_a_template_gives_defaults_and_adds_to_lists() -> None:
    given = {
        "kind": "Pod",
        "metadata": {"labels": {"team": "a", names.CONTAINER: "other"}},
        "spec": {
            "hostname": "never",
            "priority": 5,
            "tolerations": [{"key": "gpu"}],
            "containers": [{"name": "main", "image": "never", "resources": {"limits": {"x/y": "1"}}}, {"name": "side"}],
        },
    }
    pod = made({}, PodOptions(template=template.check(given, "pod.yaml")))
    assert (pod["spec"]["priority"], pod["spec"]["tolerations"]) == (5, [{"key": "gpu"}])
    assert pod["spec"]["hostname"] == ID[:12]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["main", "side"]
    assert main(pod)["image"] == "busybox:1"
    assert main(pod)["resources"] == {"limits": {"x/y": "1"}}
    assert pod["metadata"]["labels"] == {**made()["metadata"]["labels"], "team": "a"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "must hold a Pod, as an object"),
        ({"kind": "Job"}, "must hold a Pod of v1"),
        ({"status": {}}, "unknown field status"),
        ({"spec": []}, "spec must be an object"),
        ({"metadata": {"name": "x"}}, "metadata.name is different for each Pod; omit it"),
    ],
)
def test_what_is_no_template_is_told(given: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        template.check(given, "pod.yaml")
