"""What the core may import: no backend, no Docker, no HTTP and no command line, neither at once nor later."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import swarmlib

FOREIGN = {
    "aiohttp",
    "azure",
    "cachetools",
    "click",
    "docker",
    "h11",
    "http",
    "httptools",
    "httpx",
    "jsonschema",
    "requests",
    "rich",
    "swarmd",
    "swarmlib_backends",
    "urllib3",
}
CORE = Path(swarmlib.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))


def loaded_by(program: str) -> set[str]:
    """The top-level modules that are loaded once a fresh interpreter has run `program`."""
    show = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = [sys.executable, "-c", program + show]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


def imported(source: Path) -> Iterator[str]:
    """The top-level modules that a file imports from elsewhere, inside functions too."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_importing_the_core_loads_nothing_foreign() -> None:
    loaded = loaded_by("import swarmlib; swarmlib.connect")
    assert {"swarmlib", "trio"} <= loaded
    assert loaded & FOREIGN == set()


def test_importing_the_core_without_using_it_loads_not_even_trio() -> None:
    assert loaded_by("import swarmlib") & {"trio", "orjson", "logging"} == set()


@pytest.mark.parametrize("module", ["codec", "frames", "session"])
def test_the_protocol_of_the_wire_is_loaded_without_trio(module: str) -> None:
    assert "trio" not in loaded_by(f"import swarmlib.wire.{module}")


def test_the_ways_in_from_threads_and_asyncio_are_loaded_when_they_are_used() -> None:
    assert loaded_by("import swarmlib; swarmlib.connect") & {"asyncio"} == set()
    used = "import swarmlib; assert {'aio', 'sync'} <= set(dir(swarmlib)); swarmlib.sync.connect, swarmlib.aio.connect"
    assert loaded_by(used) & FOREIGN == set()


def test_listing_the_backends_and_reading_a_chains_text_import_none() -> None:
    program = "from swarmlib import grammar, registry; registry.names(); grammar.parse('debug | docker')"
    assert loaded_by(program) & FOREIGN == set()


def test_a_chain_imports_only_the_backends_that_it_names() -> None:
    loaded = loaded_by("import swarmlib; swarmlib.Chain.read('debug')")
    assert "swarmlib_backends" in loaded
    assert loaded & FOREIGN == {"swarmlib_backends"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(CORE).as_posix())
def test_no_file_of_the_core_names_a_foreign_module(source: Path) -> None:
    assert set(imported(source)) & FOREIGN == set()


def test_each_module_can_be_the_first_that_is_imported() -> None:
    names = [
        ".".join(each.relative_to(CORE.parent).with_suffix("").parts).removesuffix(".__init__") for each in SOURCES
    ]
    afresh = "[sys.modules.pop(each) for each in [*sys.modules] if each.partition('.')[0] == 'swarmlib']"
    loaded_by(f"import importlib, sys\nfor name in {names}:\n    {afresh}\n    importlib.import_module(name)\npass")
