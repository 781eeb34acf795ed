"""An Azure CLI for tests: it knows one account, and gives one token for its default and others for subscriptions."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest


class Az:
    """The program `az`, first in PATH; `asked` are the words that it was called with, line by line."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "az-cli"
        self._folder.mkdir()
        program = self._folder / "az"
        program.write_text(
            f'#!/bin/sh\ncd {self._folder}; echo "$*" >> asked\n'
            'for last; do :; done\ncase "$*" in\n  "account show"*) exec cat account;;\n'
            '  *--subscription*) exec cat "token-$last";;\n  *) exec cat token;;\nesac\n'
        )
        program.chmod(0o755)
        patch.setenv("PATH", f"{self._folder}:/usr/bin:/bin")

    def knows(self, token: str, others: Mapping[str, str], *, default: str, cloud: str = "AzureCloud") -> None:
        """Set the token of the default, those of subscriptions, and the default subscription with its cloud."""
        for name, value in {"token": token, **{f"token-{id}": each for id, each in others.items()}}.items():
            given = {"accessToken": value, "expires_on": 4102444800, "tokenType": "Bearer"}
            (self._folder / name).write_text(json.dumps(given))
        (self._folder / "account").write_text(json.dumps({"id": default, "environmentName": cloud}))

    @property
    def asked(self) -> list[str]:
        """What it was asked."""
        file = self._folder / "asked"
        return file.read_text().splitlines() if os.path.exists(file) else []
