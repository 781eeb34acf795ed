"""Check that compiled Go clients can read answers: strictly, with docker's own types, and with go-dockerclient's.

The program is `godecode/main.go`, built with Debian's packages of both. Go keeps what it has compiled in its own cache,
so that only the first build of a machine takes long.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SOURCE = Path(__file__).parent / "godecode" / "main.go"
_PACKAGES = Path("/usr/share/gocode")


def build(folder: Path) -> Path:
    """Build the program into a folder; gives its path."""
    if shutil.which("go") is None or not (_PACKAGES / "src/github.com/fsouza/go-dockerclient").exists():
        raise RuntimeError(
            "this test needs golang-go and golang-github-fsouza-go-dockerclient-dev, as .ci/setup has it"
        )
    made = folder / "godecode"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(_PACKAGES), "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", made, _SOURCE], env=environment, check=True)
    return made


def unreadable(program: Path, answers: Sequence[tuple[str, object]]) -> list[str]:
    """What Go clients say of the answers that they can't read.

    answers: of each, the name of its row in the routing table (`Error` for an error), and its JSON value.
    """
    lines = "\n".join(json.dumps({"row": row, "answer": answer}) for row, answer in answers)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(answers)
    return [f"{row}: {text}" for (row, _), text in zip(answers, said, strict=True) if text]
