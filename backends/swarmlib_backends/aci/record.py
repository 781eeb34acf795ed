"""The record of a container: all that must be remembered of it, in the tags of its container group.

Before its start there is no group, because Azure has none that doesn't run: then a file has the record (`held`).
Records are read strictly, since people and other programs can edit tags.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson

from swarmlib import Invalid, TooLarge

from ..azure.objects import seconds
from ..azure.spec import TAG, is_reserved, part, parts, tags_of
from ..dockerapi.nullable import dict_of, list_of
from ..enginekit.configs import completed
from ..enginekit.container import Configured

ROLE: Final = "aci"
"""The value of the tag `swarmlib` on what this backend makes."""
ID: Final = f"{TAG}.id"
NAME: Final = f"{TAG}.name"
CREATED: Final = f"{TAG}.created"
REMOVES: Final = f"{TAG}.rm"
"""The tag of a container that is to be removed when it has ended."""
_REST: Final = f"{TAG}.record"
"""The tags with the rest of the record, which is JSON, in pieces: this with a number."""
MAIN: Final = "main"
"""The name of the container in its group."""

_ID: Final = re.compile(r"[0-9a-f]{64}")
_MOST_TAGS: Final = 50
_LONGEST_TAG: Final = 256
_LONGEST_TAG_NAME: Final = 512
_BAD_IN_NAMES: Final = frozenset("<>%&\\?/")
_LONGEST_NAME: Final = 40
"""Of a Docker name, what goes into the name of the group, which has 63 characters at most."""


@dataclass(frozen=True)
class Record(Configured):
    """A container as it is remembered.

    Attributes:
        id, name: its own id, and its Docker name without a slash.
        created: seconds since the epoch.
        body: of its creation, in canonical form; with what its image adds to the command.
        group: the name of its container group.
        config: its configuration as an inspection shows it.
    """

    id: str
    name: str
    created: float
    body: dict[str, Any]
    group: str
    config: dict[str, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", completed(self.body, {}, self.id[:12]))

    @classmethod
    def new(cls, name: str, created: float, body: Mapping[str, Any], image: Mapping[str, Any]) -> Record:
        """Return the record of a new container. image: the configuration of its image, empty if it isn't known."""
        id = secrets.token_hex(32)
        shown = completed(body, image, id[:12])
        words = {name: shown[name] for name in ("Entrypoint", "Cmd") if shown[name]} if _says_words(body) else {}
        asked = {key: value for key, value in body.items() if key not in ("Entrypoint", "Cmd")}
        return cls(id, name, created, asked | words, group_name(name, id))

    @property
    def host(self) -> dict[str, Any]:
        """The host's side of its configuration."""
        return dict_of(self.body.get("HostConfig"))

    @property
    def image(self) -> str:
        """The name of its image."""
        return str(self.body.get("Image") or "")

    @property
    def network(self) -> str:
        """The network that it asks for; "" for none."""
        return str(self.host.get("NetworkMode") or "")

    @property
    def command(self) -> list[str]:
        """The words of its command; none if it is its image's."""
        return [*list_of(self.body.get("Entrypoint")), *list_of(self.body.get("Cmd"))]

    def tags(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the tags of its group. more: those that all have.

        Raises:
            TooLarge: Azure allows fewer tags, or shorter ones.
        """
        labels = dict_of(self.body.get("Labels"))
        shown = _as_tags(labels)
        rest = {name: value for name, value in self.body.items() if name not in ("Env", "Labels", "Image", "Cmd")}
        rest["Entrypoint"] = len(list_of(self.body.get("Entrypoint")))  # how many of the group's words are its
        others = {name: value for name, value in labels.items() if name not in shown}
        text = orjson.dumps(_without_empty(rest) | ({"Labels": others} if others else {})).decode()
        pieces = [text[at : at + _LONGEST_TAG] for at in range(0, len(text), _LONGEST_TAG)]
        own = {TAG: ROLE, ID: self.id, NAME: self.name, CREATED: _written(self.created)}
        own |= {REMOVES: "true"} if self.host.get("AutoRemove") else {}
        found = {**more, **shown, **own} | {f"{_REST}.{number:02}": each for number, each in enumerate(pieces)}
        if len(found) > _MOST_TAGS:
            raise TooLarge(f"the labels and the description of the container need {len(found)} tags: the maximum is "
                           f"{_MOST_TAGS}")  # fmt: skip
        return found

    @classmethod
    def of_group(cls, group: Mapping[str, Any]) -> Record | None:
        """Return the record in the tags of a container group; None if it is none of this backend's.

        Raises:
            Invalid: the tags are malformed.
        """
        tags = tags_of(dict(group))
        if tags.get(TAG) != ROLE:
            return None
        name, id = str(group.get("name")), tags.get(ID, "")
        if not _ID.fullmatch(id) or not tags.get(NAME):
            raise Invalid(f"the container group {name} has malformed tags {ID} and {NAME}")
        try:
            pieces = [tags[each] for each in sorted(tags) if each.startswith(f"{_REST}.")]
            rest = orjson.loads("".join(pieces))
            body = _completed(rest, tags, part(dict(group), "properties"))
            return cls(id, tags[NAME], seconds(tags.get(CREATED, "")), body, name)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise Invalid(f"the container group {name} has malformed tags {_REST}: {exc}") from exc

    def written(self) -> bytes:
        """Return the record for a file."""
        told = {"id": self.id, "name": self.name, "created": self.created, "body": self.body, "group": self.group}
        return orjson.dumps(told)

    @classmethod
    def read(cls, data: bytes) -> Record:
        """Return the record in a file.

        Raises:
            Invalid: it is malformed.
        """
        try:
            given = cast("dict[str, Any]", orjson.loads(data))
            record = cls(given["id"], given["name"], float(given["created"]), given["body"], given["group"])
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise Invalid(f"malformed record: {exc}") from exc
        if not _ID.fullmatch(record.id):
            raise Invalid("malformed record: its id is none")
        return record


def group_name(name: str, id: str) -> str:
    """Return the name of the group of a container: Azure allows lower case letters, digits and single hyphens.

    It has a part of the id, so that a group is never made in the place of another one.
    """
    plain = re.sub("[^a-z0-9]+", "-", name.lower())[:_LONGEST_NAME].strip("-")
    return f"{plain or 'c'}-{id[:12]}"


def _says_words(body: Mapping[str, Any]) -> bool:
    return bool(body.get("Entrypoint") or body.get("Cmd"))


def _completed(rest: dict[str, Any], tags: Mapping[str, str], properties: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a creation from a record's rest, and from the group itself."""
    (container,) = parts(properties, "containers")
    own = part(container, "properties")
    words, first = list_of(own.get("command")), int(rest.pop("Entrypoint", 0))
    body: dict[str, Any] = {**rest, "Image": str(own["image"])}
    if words[:first]:
        body["Entrypoint"] = words[:first]
    if words[first:]:
        body["Cmd"] = words[first:]
    if env := [f"{each['name']}={each.get('value') or ''}" for each in parts(own, "environmentVariables")]:
        body["Env"] = env
    shown = {name: value for name, value in tags.items() if not is_reserved(name)}
    return body | {"Labels": shown | dict_of(rest.get("Labels"))}


def _as_tags(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that can be tags, whose names Azure compares without regard to case."""
    found: dict[str, str] = {}
    taken = set[str]()
    for name, value in labels.items():
        short = 0 < len(name) <= _LONGEST_TAG_NAME and len(value) <= _LONGEST_TAG
        sound = name.isprintable() and not _BAD_IN_NAMES & set(name) and not is_reserved(name)
        if short and sound and name.lower() not in taken:
            found[name] = value
            taken.add(name.lower())
    return found


def _without_empty(value: Any) -> Any:
    """Return a JSON value without the members that say nothing."""
    if not isinstance(value, dict):
        return value
    found = {name: _without_empty(each) for name, each in cast("dict[str, Any]", value).items()}
    return {name: each for name, each in found.items() if each not in (None, "", 0, [], {})}


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
