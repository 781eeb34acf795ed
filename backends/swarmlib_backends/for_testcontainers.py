"""What Testcontainers (of PyPI) keeps for a whole process, made to fit an engine that lives only for some tests.

When it is imported, it decides how published ports are reached: inside a container, by the gateway of the engine's
network, which a simulated engine does not have. When it is first used, it starts its Ryuk, to which it stays connected
until the process ends, long after the engine has.

Source: testcontainers.core.config and testcontainers.core.container.Reaper, version 4.14.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import pytest

_MODE: Final = "docker_host"
"""Published ports are those of the engine's own machine."""


@contextmanager
def fitted(patch: pytest.MonkeyPatch) -> Generator[None]:
    """Have Testcontainers use an engine of this machine while the context is open, and end a Ryuk of it at the end.

    patch: is undone by the caller.
    """
    patch.setenv("TESTCONTAINERS_CONNECTION_MODE", _MODE)  # for an import that is still to come
    patch.setenv("TC_HOST", "localhost")
    if (module := sys.modules.get("testcontainers.core.config")) is not None:
        _configure(module, patch)
    before = _has_reaper()
    try:
        yield
    finally:
        if _has_reaper() and not before:
            sys.modules[_CONTAINER].Reaper.delete_instance()


def _configure(module: ModuleType, patch: pytest.MonkeyPatch) -> None:
    config = module.testcontainers_config
    patch.setattr(config, "connection_mode_override", module.ConnectionMode(_MODE))
    patch.setattr(config, "tc_host_override", "localhost")
    patch.setattr(config, "ryuk_docker_socket", "")  # it is found anew, from `DOCKER_HOST`


_CONTAINER: Final = "testcontainers.core.container"


def _has_reaper() -> bool:
    module = sys.modules.get(_CONTAINER)
    return module is not None and module.Reaper._instance is not None
