"""The fake cluster in a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-W", "error", "-m", "swarmlib_backends.kubernetes.fakecluster"]


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Path]:
    """The fake cluster's command; gives the kubeconfig that it writes."""
    file = folder / "kubeconfig"
    command = [*COMMAND, "--kubeconfig", str(file), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == f"export KUBECONFIG={file}\n"
        assert "serving on https://" in process.stderr.readline()
        yield file
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err, err
