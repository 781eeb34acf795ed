"""The messages of docs/troubleshooting.md are those of the sources, word for word between what changes (`…`)."""

import re

import pytest

from tests.support.guides import guide, sections
from tests.support.paths import ROOT

OTHERS = ("Address already in use", "No such file or directory", "Permission denied", "Host key verification failed")
"""What the system and ssh say."""
SOURCES = "\n".join(
    path.read_text("utf-8") for room in ("swarmlib", "backends", "cmd") for path in sorted((ROOT / room).rglob("*.py"))
)
MESSAGES = [
    message
    for heading, body in sections(guide("docs/troubleshooting.md")).items()
    if heading not in ("The client can't connect", "It is slow, or it hangs")  # where clients speak
    for first in re.findall(r"^\| (.*?) \|", body, re.MULTILINE)
    for message in re.findall("`([^`]+)`", first)
    if "…" in message
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_the_sources(message: str) -> None:
    words = [each.strip(" ,:;") for each in message.split("…")]
    for each in filter(None, words):
        assert each.startswith(OTHERS) or each in SOURCES


def test_there_are_many() -> None:
    assert len(MESSAGES) >= 15
