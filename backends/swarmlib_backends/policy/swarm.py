"""What a swarm, its nodes and an engine's plugins demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .demands import Demand, Reader, assigned, each, keys, nothing, struct
from .services import LOG_DRIVER, plugin_privilege, plugin_setting

_SWARM: Final = "swarm"
_ASSIGNED: Final = assigned(_SWARM)


def _key(place: str, value: Any) -> Iterator[Demand]:
    """Read a key, which is shown nowhere."""
    if value:
        yield Demand(_SWARM, place.rpartition(".")[2], place)


_ADDRESSES: Final[Mapping[str, Reader]] = dict.fromkeys(("ListenAddr", "AdvertiseAddr", "DataPathAddr"), _ASSIGNED)
_AVAILABILITY: Final = assigned(_SWARM, "active")
_EXTERNAL_CA: Final = {
    **dict.fromkeys(("Protocol", "CACert"), nothing),
    "URL": _ASSIGNED,
    "Options": keys(_SWARM),
}
_CA: Final = {
    **dict.fromkeys(("NodeCertExpiry", "ForceRotate"), _ASSIGNED),
    "ExternalCAs": each(struct(_EXTERNAL_CA)),
    **dict.fromkeys(("SigningCACert", "SigningCAKey"), _key),
}
spec: Final = struct(
    {
        **dict.fromkeys(("Name", "Labels"), nothing),
        "Orchestration": struct({"TaskHistoryRetentionLimit": _ASSIGNED}),
        "Raft": struct(
            dict.fromkeys(
                (
                    *("SnapshotInterval", "KeepOldSnapshots", "LogEntriesForSlowFollowers"),
                    *("ElectionTick", "HeartbeatTick"),
                ),
                _ASSIGNED,
            )
        ),
        "Dispatcher": struct({"HeartbeatPeriod": _ASSIGNED}),
        "CAConfig": struct(_CA),
        "EncryptionConfig": struct({"AutoLockManagers": _ASSIGNED}),
        "TaskDefaults": struct({"LogDriver": LOG_DRIVER}),
    }
)
beginning: Final = struct(
    {
        **_ADDRESSES,
        **dict.fromkeys(("DataPathPort", "ForceNewCluster", "SubnetSize", "AutoLockManagers"), _ASSIGNED),
        "DefaultAddrPool": each(_ASSIGNED),
        "Availability": _AVAILABILITY,
        "Spec": spec,
    }
)
joining: Final = struct(
    {**_ADDRESSES, "RemoteAddrs": each(_ASSIGNED), "JoinToken": nothing, "Availability": _AVAILABILITY}
)
unlocking: Final = struct({"UnlockKey": nothing})
ROTATIONS: Final[Mapping[str, Reader]] = dict.fromkeys(
    ("rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"), _ASSIGNED
)
node: Final = struct(
    {"Name": nothing, "Labels": keys("nodes"), **dict.fromkeys(("Role", "Availability"), assigned("nodes"))}
)
privileges: Final = each(plugin_privilege)
settings: Final = each(plugin_setting)
