"""The backend `example`: a label for every workload that is spawned through it."""

from dataclasses import dataclass
from typing import Any, cast

from swarmlib import Filter, Invalid, Json, Request, Verb, option

__all__ = ["Example"]


@dataclass
class Example(Filter):
    """Puts a label on every workload that is spawned through it."""

    label: str = option("the label", default="via=example", metavar="NAME=VALUE")

    def check_options(self) -> None:
        """Check what the options' types do not say."""
        if "=" not in self.label.lstrip("="):
            raise Invalid(f"invalid label {self.label!r}: expected NAME=VALUE")

    async def send(self, request: Request) -> None:
        """Put the label on new workloads; forward all other requests unchanged."""
        if request.verb is Verb.SPAWN and request.path == ("containers",):
            request = request.replace(body=Json.from_data(self._labelled(request.json)))
        await self.next.send(request)

    def _labelled(self, body: Any) -> Any:
        if not isinstance(body, dict):
            return body  # the stage that makes the workload refuses such a body
        fields = cast("dict[str, Any]", body)
        name, _, value = self.label.partition("=")
        labels: Any = fields.get("Labels") or {}
        if not isinstance(labels, dict):
            return fields
        return {**fields, "Labels": {**cast("dict[str, Any]", labels), name: value}}
