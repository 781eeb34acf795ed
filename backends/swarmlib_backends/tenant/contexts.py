"""The context of a tenant's build as its engine gets it: with a Dockerfile that was judged."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from swarmlib import Invalid

from ..dockerapi.status import refusal
from ..tars import Rewritten, Tar, with_content
from .recipes import LONGEST, Recipe

_DEFAULT: Final = "Dockerfile"


class Context:
    """Replaces the Dockerfile of a context.

    name: the file's path in it. judge: returns what replaces its contents. Raises SwarmError if it is refused.
    """

    def __init__(self, name: str, judge: Callable[[bytes], Awaitable[Recipe]]) -> None:
        self.name = posixpath.normpath(name or _DEFAULT).lstrip("/")
        if self.name.split("/")[0] in ("..", "."):
            raise refusal(500, f"forbidden path outside the build context: {name} ()")
        self._judge = judge
        self._lower: bytes | None = None
        """A file `dockerfile`, which an engine takes if there is no `Dockerfile`."""
        self.recipe: Recipe | None = None
        """What was judged last."""

    def rewritten(self, context: trio.abc.ReceiveStream) -> Rewritten:
        """Return the context with the Dockerfile that was judged, which is also its last file.

        So nothing that comes before, such as a link in the place of a folder, leads an engine to another one.
        """
        return Rewritten(context, self._change, self._last)

    async def _change(self, tar: Tar, info: tarfile.TarInfo) -> bytes | None:
        path = posixpath.normpath(f"/{info.name}").lstrip("/")
        if path == self.name:
            if not info.isreg():
                raise Invalid(
                    f"the Dockerfile {self.name} must be a file, not a link or a folder: name the file itself"
                )
            self.recipe = await self._judge(await tar.content(LONGEST))
            return with_content(info, self.recipe.text.encode())
        if self.name == _DEFAULT and path == _DEFAULT.lower() and info.isreg():
            self._lower = await tar.content(LONGEST)
            return with_content(info, self._lower)
        return None

    async def _last(self) -> bytes:
        if self.recipe is None and self._lower is not None:
            self.recipe = await self._judge(self._lower)
        if self.recipe is None:
            raise refusal(500, f"Cannot locate specified Dockerfile: {self.name}")
        *above, _ = self.name.split("/")
        folders = [tarfile.TarInfo("/".join(above[: depth + 1])) for depth in range(len(above))]
        for each in folders:
            each.type, each.mode = tarfile.DIRTYPE, 0o755
        file = tarfile.TarInfo(self.name)
        return b"".join(with_content(each, b"") for each in folders) + with_content(file, self.recipe.text.encode())
