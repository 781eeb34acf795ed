"""swarmlib: services composed of backends that all speak one set of verbs.

async with swarmlib.connect("debug | docker") as swarm:
    print(await swarm.ls())

The names are in `_public`, and are all loaded when the first of them is used: importing trio takes longer than many
programs run, and not every program that imports swarmlib uses it. Modules are loaded on first use too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._public import *  # noqa: F403 - its `__all__` is the list
    from ._public import __all__ as __all__
    from .client import aio as aio
    from .client import sync as sync
else:

    def __getattr__(name: str) -> object:
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module, util

        if name in ("aio", "sync"):
            return globals().setdefault(name, import_module(f".client.{name}", __name__))
        if util.find_spec(f"{__name__}.{name}"):
            return import_module(f".{name}", __name__)
        from . import _public

        globals().update({public: getattr(_public, public) for public in _public.__all__}, __all__=_public.__all__)
        try:
            return globals()[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__"), "aio", "sync"})
