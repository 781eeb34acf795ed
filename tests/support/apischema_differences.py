"""The places where engines deviate from the OpenAPI documents, each with its reason.

The reasons name their source: the sources of Docker 20.10 (`github.com/docker/docker`), or a running engine.
"""

from typing import Any, Final

Difference = tuple[Any, str]

BODIES: Final[dict[str, Difference]] = {
    "ImagePush": ("#AuthConfig", "postImagesPush reads credentials from the body where the header is missing"),
}
_HOST_UINT64: Final = ["IOMaximumBandwidth", "IOMaximumIOps"]
_SERVICE_UINT64: Final = [
    "Mode.Replicated.Replicas",
    "Mode.ReplicatedJob.MaxConcurrent",
    "Mode.ReplicatedJob.TotalCompletions",
    "UpdateConfig.Parallelism",
    "RollbackConfig.Parallelism",
]
_WITH_DATA: Final = ["SecretSpec", "SecretCreate", "ConfigSpec", "ConfigCreate"]
_CREDENTIALS: Final = ["auth", "identitytoken", "registrytoken"]

FIELDS: Final[dict[str, Difference]] = {
    "ContainerConfig.Cmd": ("words", "strslice.StrSlice takes one string too"),
    "ContainerConfig.Entrypoint": ("words", "strslice.StrSlice"),
    "ContainerConfig.Shell": ("words", "strslice.StrSlice"),
    "HostConfig.CapAdd": ("words", "strslice.StrSlice"),
    "HostConfig.CapDrop": ("words", "strslice.StrSlice"),
    "HostConfig.BlkioWeight": ("uint16", "its Go type"),
    "HostConfig.BlkioWeightDevice.Weight": ("uint16", "its Go type"),
    "HostConfig.ConsoleSize": (["uint64", 2], "[2]uint"),
    "ThrottleDevice.Rate": ("uint64", "its Go type"),
    **{f"HostConfig.{name}": ("uint64", "its Go type") for name in _HOST_UINT64},
    "Mount.TmpfsOptions.Mode": ("uint32", "os.FileMode"),
    "ContainerExec.Detach": ("boolean", "undocumented, in types.ExecConfig"),
    "ContainerExec.ConsoleSize": (["uint64", 2], "[2]uint"),
    "ExecStart.ConsoleSize": (["uint64", 2], "[2]uint"),
    **{f"AuthConfig.{name}": ("string", "undocumented, in types.AuthConfig") for name in _CREDENTIALS},
    **{f"{kind}.Data": ("base64", "[]byte") for kind in _WITH_DATA},
    "SwarmInit.AutoLockManagers": ("boolean", "undocumented, in swarm.InitRequest"),
    "SwarmInit.Availability": ("string", "undocumented, in swarm.InitRequest"),
    "SwarmJoin.Availability": ("string", "undocumented, in swarm.JoinRequest"),
    **{f"EndpointPortConfig.{name}": ("uint32", "its Go type") for name in ("PublishedPort", "TargetPort")},
    **{f"Service{what}.{name}": ("uint64", "its Go type") for what in ("Create", "Update") for name in _SERVICE_UINT64},
    "TaskSpec.Placement.MaxReplicas": ("uint64", "its Go type"),
    "TaskSpec.RestartPolicy.MaxAttempts": ("uint64", "its Go type"),
    "TaskSpec.ContainerSpec.Healthcheck": ("#HealthConfig", "documented as HealthCheck; clients use the Go name"),
    "TaskSpec.PluginSpec": (
        {
            "name": "string",
            "remote": "string",
            "privileges": [{"name": "string", "description": "string", "value": ["string"]}],
            "disabled": "boolean",
            "env": ["string"],
        },
        "runtime.PluginSpec has these names; the documented ones differ in case, and one in more",
    ),
}
WITHOUT: Final = {"TaskSpec.ContainerSpec.HealthCheck": "another spelling of Healthcheck"}
_BOOLEANS: Final = ["PutContainerArchive.noOverwriteDirNonDir", "PutContainerArchive.copyUIDGID", "ImageBuild.pull"]
_PARSED: Final = ["NetworkInspect.verbose", "ServiceList.status", "ServiceInspect.insertDefaults"]
_ROTATIONS: Final = [f"SwarmUpdate.rotate{what}" for what in ("WorkerToken", "ManagerToken", "ManagerUnlockKey")]
_VERSIONS: Final = [f"{what}Update.version" for what in ("Volume", "Node", "Swarm", "Service", "Secret", "Config")]
_TIMES: Final = ["ContainerLogs.since", "ContainerLogs.until", "ServiceLogs.since", "TaskLogs.since"]
_LIMITS: Final = [f"ImageBuild.{name}" for name in ("memory", "memswap", "cpushares", "cpuperiod", "cpuquota")]

QUERY: Final[dict[str, Difference]] = {
    **dict.fromkeys(_BOOLEANS, ("Flag()", "httputils.BoolValue, though documented as a string")),
    **dict.fromkeys(_PARSED + _ROTATIONS, ("StrictFlag()", "strconv.ParseBool, which refuses other words")),
    **dict.fromkeys(_VERSIONS, ("Integer(allowed=UINT64)", "strconv.ParseUint")),
    **dict.fromkeys(_TIMES, ("Time()", "timetypes.ParseTimestamps")),
    **dict.fromkeys(("SystemEvents.since", "SystemEvents.until"), ("EventTime()", "as a time; eventTime: -1 is none")),
    **dict.fromkeys(_LIMITS, ("LenientInteger()", "httputils.Int64ValueOrZero, for which what is no number is 0")),
    "ContainerLogs.tail": ("Tail()", "strconv.Atoi; what is no number means all"),
    **dict.fromkeys(("ServiceLogs.tail", "TaskLogs.tail"), ("TaskTail()", "strconv.Atoi, or all; no negative number")),
    "ImageBuild.rm": ("Flag(default=True, empty=False)", "an empty one counts as not given"),
    "ImageCommit.pause": ("Flag(default=True, empty=False)", "an empty one counts as not given"),
    "ImageBuild.t": ("Texts()", "r.Form: all values"),
    "ImageBuild.extrahosts": ("Texts()", "r.Form: all values"),
    "ImageBuild.securityopt": ("Texts()", "undocumented; r.Form: all values"),
    "ImageCommit.changes": ("Texts()", "r.Form: all values"),
    "ImageBuild.buildargs": (
        'Data[dict[str, str | None]]({"*": "string?"})',
        "map[string]*string: null takes the value of the environment",
    ),
    "ImageBuild.labels": ('Data[dict[str, str]]({"*": "string"})', "map[string]string"),
    "ImageBuild.cachefrom": ('Data[list[str]](["string"])', "[]string"),
    "ImageBuild.outputs": (
        'Data[list[Any]]([{"Type": "string", "Attrs": {"*": "string"}}])',
        "[]types.ImageBuildOutput",
    ),
    "ImageBuild.ulimits": (
        'Data[list[Any]]([{"Name": "string", "Soft": "int64", "Hard": "int64"}])',
        "undocumented; []*units.Ulimit",
    ),
    **dict.fromkeys(
        (f"ImageBuild.{name}" for name in ("cgroupparent", "cpusetmems", "isolation", "session", "buildid")),
        ("Text()", "undocumented; r.FormValue: the first value"),
    ),
    **dict.fromkeys(("ContainerList.since", "ContainerList.before"), ("Text()", "undocumented; r.Form.Get")),
    **dict.fromkeys(("ContainerStart.checkpoint", "ContainerStart.checkpoint-dir"), ("Text()", "experimental")),
    "ContainerLogs.details": ("Flag()", "undocumented; httputils.BoolValue"),
    "ContainerAttachWebsocket.stdin": ("Flag()", "documented since 1.42"),
}
