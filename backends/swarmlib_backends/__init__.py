"""The backends that come with swarmlib, for chains made in Python: `Chain(Debug(), Balance([Docker(), Exec()]))`.

A backend is imported when its name is first used, from the module of that name in lower case.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aci import Aci
    from .aggregate import Aggregate
    from .audit import Audit
    from .azure import Azure
    from .balance import Balance
    from .cache import Cache
    from .chaos import Chaos
    from .debug import Debug
    from .docker import Docker
    from .dockerserver import DockerServer
    from .exec import Exec
    from .kubernetes import Kubernetes
    from .limit import Limit
    from .listen import Listen
    from .metrics import Metrics
    from .policy import Policy
    from .record import Record
    from .remote import Remote
    from .replay import Replay
    from .retry import Retry
    from .simulator import Simulator
    from .swarm import Swarm
    from .tee import Tee
    from .tenant import Tenant
    from .timeout import Timeout
    from .trace import Trace
    from .web import Web

__all__ = [
    "Aci",
    "Aggregate",
    "Audit",
    "Azure",
    "Balance",
    "Cache",
    "Chaos",
    "Debug",
    "Docker",
    "DockerServer",
    "Exec",
    "Kubernetes",
    "Limit",
    "Listen",
    "Metrics",
    "Policy",
    "Record",
    "Remote",
    "Replay",
    "Retry",
    "Simulator",
    "Swarm",
    "Tee",
    "Tenant",
    "Timeout",
    "Trace",
    "Web",
]

if not TYPE_CHECKING:  # type checkers see the names above, and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f".{name.lower()}", __name__), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
