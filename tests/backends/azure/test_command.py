"""`python -m swarmlib_backends.azure.fakearm`, and what is imported when."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backends.azure.conftest import DOCUMENTS
from tests.core.test_imports import loaded_by

COMMAND = [sys.executable, "-W", "error", "-m", "swarmlib_backends.azure.fakearm"]
USE = """
import os
from azure.identity import DefaultAzureCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
url = os.environ["AZURE_RESOURCE_MANAGER"]
options = {"base_url": url, "credential_scopes": [url + "/.default"]}
credential = DefaultAzureCredential(disable_instance_discovery=True)
subscription = os.environ["AZURE_SUBSCRIPTION_ID"]
resources = ResourceManagementClient(credential, subscription, **options)
resources.resource_groups.create_or_update("g", {"location": "uksouth"})
print(list(ComputeManagementClient(credential, subscription, **options).virtual_machines.list("g")))
"""


@contextmanager
def running(*options: str) -> Iterator[dict[str, str]]:
    """The command; gives the variables that it prints."""
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert "serving on https://" in process.stderr.readline()
        variables = [process.stdout.readline().strip().removeprefix("export ").partition("=") for _ in range(8)]
        yield {name: value for name, _, value in variables}
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_synchronous_sdk_finds_it_by_the_environment_that_it_prints(tmp_path: Path) -> None:
    options = ("--spec", str(DOCUMENTS), "--ca", str(tmp_path / "ca.pem"), "--throttle")
    with running(*options) as variables:
        assert variables["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")
        use = [sys.executable, "-c", USE]
        done = subprocess.run(use, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--spec", "/nowhere"], "there are no OpenAPI documents below /nowhere"),
        (["--faults", "/nowhere"], "can't read the faults in /nowhere"),
        (["--ca", "/nowhere/ca.pem"], "can't write /nowhere/ca.pem"),
        (["--host", "8.8.8.8"], "can't listen on 8.8.8.8:0"),
        (["--cores", "many"], "'many' is not a valid integer"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(options: Sequence[str], complaint: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_the_fake_needs_neither_the_sdk_nor_jsonschema() -> None:
    loaded = loaded_by("import swarmlib_backends.azure.fakearm")
    assert loaded & {"azure", "httpx", "jsonschema", "referencing", "requests", "msal"} == set()


def test_chains_without_azure_import_none_of_it() -> None:
    program = "import swarmlib; swarmlib.Chain.read('dockerserver unix:///a | debug | balance (docker) (exec)')"
    loaded = loaded_by(f"{program}; import swarmd.cli")
    assert loaded & {"azure", "httpx", "jsonschema", "msal"} == set()
    assert "swarmlib_backends" in loaded
