"""Azure's SDK takes seconds to import: only an opened chain that names azure does."""

import subprocess
import sys

import pytest


def loaded_by(program: str) -> set[str]:
    show = "; import sys; print(*sorted(name for name in sys.modules if name.startswith(('azure.', 'httpx', 'msal'))))"
    run = [sys.executable, "-c", program + show]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "import swarmlib; swarmlib.Chain.read('balance (docker unix:///a.sock) (exec)')",
        "import swarmlib; swarmlib.Chain.read('azure --group prod')",
        "from swarmd import show; show.backends()",
        "from click.testing import CliRunner; from swarmd.cli import cli; CliRunner().invoke(cli, ['--help'])",
        "from click.testing import CliRunner; from swarmd.cli import cli; CliRunner().invoke(cli, ['check', 'azure'])",
    ],
)
def test_nothing_of_azures_is_imported(program: str) -> None:
    assert loaded_by(program) == set()
