"""The public names: listed once, all there, documented and annotated; loaded when used."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

import pytest

import swarmlib
import swarmlib_backends
from swarmlib import _public, registry


def run(program: str) -> str:
    """What a program prints in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("package", [swarmlib, swarmlib_backends])
def test_every_listed_name_is_there_and_no_other_is(package: ModuleType) -> None:
    listed: list[str] = package.__all__
    assert len(set(listed)) == len(listed)
    assert all(getattr(package, name) is not None for name in listed)
    others = {name for name in dir(package) if not name.startswith("_")} - set(listed)
    assert {name for name in others if not isinstance(getattr(package, name), ModuleType)} <= {"TYPE_CHECKING"}


def test_the_list_is_what_its_module_imports_and_in_order() -> None:
    imported = {name for name in vars(_public) if not name.startswith("_")}
    assert {name for name in imported if not isinstance(getattr(_public, name), ModuleType)} == set(swarmlib.__all__)
    assert swarmlib.__all__ == sorted(swarmlib.__all__, key=lambda name: (not name.isupper(), name.islower(), name))


@pytest.mark.parametrize("package", ["swarmlib", "swarmlib_backends"])
def test_all_names_can_be_imported_at_once_and_one_by_one_from_fresh(package: str) -> None:
    first, *_, last = sys.modules[package].__all__
    assert run(f"from {package} import *; {first}; {last}; print('ok')") == "ok"
    assert run(f"from {package} import {last}; import {package}; print({package}.{last} is {last})") == "True"
    assert run(f"import {package}; print({last!r} in dir({package}))") == "True"


@pytest.mark.parametrize("package", [swarmlib, swarmlib_backends])
@pytest.mark.parametrize("name", ["nosuch", "_nosuch", "__wrapped__"])
def test_a_name_that_is_none_is_an_attribute_error(package: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute '{name}'"):
        getattr(package, name)


def test_a_module_of_the_package_can_be_imported_before_any_name() -> None:
    assert run("from swarmlib import grammar, Chain; print(grammar.__name__, Chain)").startswith("swarmlib.grammar <")


def members() -> Iterator[tuple[str, Any]]:
    """Every public function and class, and the public methods and properties that are swarmlib's own."""
    for name in swarmlib.__all__:
        found = getattr(swarmlib, name)
        if inspect.isfunction(found):
            yield name, found
        elif inspect.isclass(found) and found.__module__.startswith("swarmlib"):
            yield name, found
            yield from ((f"{name}.{part}", each) for part, each in vars(found).items() if _is_public(part, each))


def _is_public(name: str, member: Any) -> bool:
    return not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property | classmethod))


@pytest.mark.parametrize(("name", "member"), [pytest.param(*each, id=each[0]) for each in members()])
def test_what_is_public_is_documented_and_annotated(name: str, member: Any) -> None:
    assert (inspect.getdoc(member) or "").strip(), f"{name} has no docstring"
    if inspect.isclass(member):
        return
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty, f"{name} has no return type"
    bare = [p.name for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
    assert bare in ([], ["self"], ["cls"])


def test_the_backends_are_those_of_the_entry_points_each_in_the_module_of_its_name() -> None:
    found = [p.load() for p in entry_points(group=registry.GROUP) if p.value.startswith("swarmlib_backends.")]
    assert sorted(kind.__name__ for kind in found) == swarmlib_backends.__all__
    assert all(getattr(swarmlib_backends, kind.__name__) is kind for kind in found)


def test_a_backend_is_loaded_when_its_name_is_used() -> None:
    show = "import sys; print(*[name for name in ('httptools', 'swarmlib_backends.balance') if name in sys.modules])"
    assert run(f"from swarmlib_backends import Debug; {show}") == ""
    assert run(f"from swarmlib_backends import Balance; {show}") == "swarmlib_backends.balance"
