"""The structure of the product, read from its sources: its imports, its uses of private members, and its sizes.

The constants that begin with `UNMENDED` hold what is still to be mended. What stands in one and has been mended fails
its test, so that they can only become shorter.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import swarmd
import swarmlib
import swarmlib_backends
from tests.support.paths import ROOT

ROOTS = [Path(str(package.__file__)).parent for package in (swarmlib, swarmlib_backends, swarmd)]
MAX_FUNCTION, MAX_MODULE = 40, 400

GENERATED_MODULES = {"swarmlib.client.keywords", "swarmlib_backends.dockerapi.operations"}
"""Modules that are compiled from other documents: nobody reads or edits them by hand."""
ALLOWED_PRIVATE = {
    "_exit": "os: ends a process that has forked, by its documented name",
    "_replace": "typing.NamedTuple: a documented method, named so that it is no field's name",
    "_value_": "enum.Enum: documented; read where `value`, a descriptor, would cost each request of the wire",
    "_deliver": "ReplySender: what a subclass must define; nobody else calls it",
    "_finish": "ReplySender: what a subclass must define; nobody else calls it",
    "_instance": "testcontainers' Reaper: nothing public tells whether it has started a Ryuk",
    "_build_next_request": "azure-mgmt-core: of its policy that registers providers, which is made fit for trio here",
    "_internal_response": "azure-core: its base for the responses of transports, made for subclasses, is private",
}
"""Private members that may be used outside of their modules, and why."""
ALLOWED_IMPORTS = {
    "_typeshed": "the types that type checkers know by no other name",
    "swarmlib._public": "the package's own list of its public names",
    "azure.core.rest._http_response_impl_async": "as _internal_response",
}
"""Private modules that may be imported, and why."""


class Module(NamedTuple):
    """A module of the product."""

    name: str
    is_package: bool
    text: str
    tree: ast.Module


@cache
def modules() -> Mapping[str, Module]:
    """Every module by its name; the templates of `swarmd new` are not the product's."""
    found = [
        _module(root, path) for root in ROOTS for path in sorted(root.rglob("*.py")) if "templates" not in path.parts
    ]
    return {module.name: module for module in found}


def _module(root: Path, path: Path) -> Module:
    parts = path.relative_to(root.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    text = path.read_text("utf-8")
    return Module(".".join(parts[:-1] if is_package else parts), is_package, text, ast.parse(text))


# Imports.


@cache
def imports(module: Module) -> tuple[str, ...]:
    """The full names of what a module imports, in functions and for type checkers too."""
    return tuple(_imports(module))


def _imports(module: Module) -> Iterator[str]:
    package = module.name.split(".")[: None if module.is_package else -1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


@cache
def imported_modules(module: Module) -> set[str]:
    """The modules of the product that a module imports."""
    known = modules()
    return {name if name in known else name.rpartition(".")[0] for name in imports(module)} & known.keys() - {
        module.name
    }


def circles() -> list[set[str]]:
    """The groups of modules that import each other, directly or by others."""
    direct = {name: imported_modules(module) for name, module in modules().items()}
    reached = {name: _reached(name, direct) for name in direct}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in direct}
    return [set(group) for group in groups if group]


def _reached(name: str, direct: Mapping[str, set[str]]) -> set[str]:
    found = set[str]()
    waiting = [*direct[name]]
    while waiting:
        if (other := waiting.pop()) not in found:
            found.add(other)
            waiting += direct[other]
    return found


def test_no_modules_import_each_other() -> None:
    assert circles() == []


def test_a_circle_is_seen() -> None:
    direct = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert "a" in _reached("a", direct)
    assert "d" not in _reached("d", direct)


def test_no_private_module_or_name_is_imported() -> None:
    wrong = [(module.name, name) for module in modules().values() for name in imports(module) if _is_private(name)]
    assert wrong == []


def _is_private(name: str) -> bool:
    allowed = any(name == each or name.startswith(f"{each}.") for each in ALLOWED_IMPORTS)
    return not allowed and any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


# Private members.


def private_uses(module: Module) -> set[str]:
    """The private members that a module uses and doesn't define, neither in a class of its own nor by assignment."""
    return _used(module.tree) - _defined(module.tree)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _used(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _private(node.attr)}


def _defined(tree: ast.AST) -> set[str]:
    """The private members that the classes of a tree define: methods, fields, slots, and what they give themselves."""
    names = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                names.add(node.attr)
            case ast.ClassDef():
                stated = (each for each in node.body if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
                names |= {name.id for each in stated for name in ast.walk(each) if isinstance(name, ast.Name)}
            case _:
                pass
    return {name for name in names if _private(name)}


@cache
def classes() -> Mapping[tuple[str, str], ast.ClassDef]:
    """Every class at the top of a module, by the module's name and its own."""
    return {
        (module.name, node.name): node
        for module in modules().values()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }


@cache
def bases(module: Module, node: ast.ClassDef) -> tuple[tuple[str, str], ...]:
    """The classes of the product that a class inherits from, theirs included."""
    return tuple(_bases(module, node))


def _bases(module: Module, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    imported = {name.rpartition(".")[2]: name.rpartition(".")[0] for name in imports(module)}
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        text = ast.unparse(name).rpartition(".")[2]
        for key in ((module.name, text), *((where, text) for where in _given_by(imported.get(text, "")))):
            if key in classes() and classes()[key] is not node:
                yield key
                yield from bases(modules()[key[0]], classes()[key])


def _given_by(where: str) -> Iterator[str]:
    """The modules from which a name may come that is imported from a module or package."""
    yield where
    if where in modules():
        yield from imported_modules(modules()[where])
    if where == "swarmlib":
        yield from imported_modules(modules()["swarmlib._public"])


def inherited_private(module: Module) -> set[str]:
    """The private members of another module's classes that a module's classes use or replace, as they inherit them."""
    found = set[str]()
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            others = {key for key in bases(module, node) if key[0] != module.name}
            theirs = {name for key in others for name in _defined(classes()[key])}
            found |= theirs & (_used(node) | _defined(node))
    return found


@cache
def private_members_used() -> set[tuple[str, str]]:
    """The private members of other modules that modules use, each with the module."""
    return {
        (module.name, name)
        for module in modules().values()
        for name in private_uses(module) | inherited_private(module)
    }


def test_no_private_member_of_another_module_is_used() -> None:
    assert {each for each in private_members_used() if each[1] not in ALLOWED_PRIVATE} == set()


def test_what_is_allowed_is_used() -> None:
    assert ALLOWED_PRIVATE.keys() <= {name for _, name in private_members_used()}
    imported = {name for module in modules().values() for name in imports(module)}
    assert all(any(name.startswith(each) for name in imported) for each in ALLOWED_IMPORTS)


def test_a_private_member_of_another_class_is_seen() -> None:
    tree = ast.parse("class A:\n    def f(self, other):\n        self._own = other._own + other._theirs")
    assert private_uses(Module("m", False, "", tree)) == {"_theirs"}


# Signatures.

ANY_BY_CONTRACT = {"send", "get_token"}
"""Methods of the Azure SDK that are defined here, with the SDK's own signature."""


def test_no_public_function_takes_any_keyword_of_any_type() -> None:
    found = {
        f"{module.name}.{node.name}"
        for module in modules().values()
        for node in module_functions(module.tree)
        if node.args.kwarg and node.args.kwarg.annotation and ast.unparse(node.args.kwarg.annotation) == "Any"
    }
    assert {name.rpartition(".")[2] for name in found} == ANY_BY_CONTRACT, found


def module_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public functions of a module and the public methods of its classes."""
    public = (each for each in tree.body if not isinstance(each, ast.ClassDef) or not _private(each.name))
    for node in public:
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not _private(each.name):
                yield each


def test_a_finalizer_only_warns() -> None:
    finalizers = [
        node
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__del__"
    ]
    called = {ast.unparse(each.func) for node in finalizers for each in ast.walk(node) if isinstance(each, ast.Call)}
    assert finalizers
    assert called <= {"getattr", "warnings.warn"}


# Sizes.


def test_no_function_is_long() -> None:
    long = {
        f"{module.name}.{node.name}"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _length(node) > MAX_FUNCTION
    }
    assert not long


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines, decorators and docstring included."""
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return (node.end_lineno or node.lineno) - first + 1


def test_no_module_is_long() -> None:
    long = {module.name for module in modules().values() if len(module.text.splitlines()) > MAX_MODULE}
    assert long == GENERATED_MODULES


# Rooms.

PYTEST = {"for_testcontainers", "pytest_plugin", "served"}
DRAWING = ROOT / "docs" / "architecture.md"


def room(name: str) -> str:
    """The room of a module, as docs/architecture.md draws them; "" for the lists of public names."""
    package, *rest = name.split(".")
    first = rest[0] if rest else ""
    if package == "swarmd":
        return package
    if first in ("", "_public"):
        return ""
    if modules()[f"{package}.{first}"].is_package:
        return first
    if package == "swarmlib":
        return "core"
    return "pytest" if first in PYTEST else "stages"


@cache
def rooms_used() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    found: dict[str, set[str]] = {}
    for module in modules().values():
        others = {room(name) for name in imported_modules(module)}
        if "swarmlib" in imported_modules(module):  # by its public names
            others |= {room(_defining(name)) for name in imports(module) if name.startswith("swarmlib.")}
        found.setdefault(room(module.name), set()).update(others - {"", room(module.name)})
    del found[""]
    return found


def _defining(name: str) -> str:
    """The module of a public name."""
    last = name.rpartition(".")[2]
    public = {each.rpartition(".")[2]: each.rpartition(".")[0] for each in imports(modules()["swarmlib._public"])}
    return public.get(last, name if name in modules() else "swarmlib")


def drawn() -> dict[str, set[str]]:
    """The rooms that each room uses by the drawing."""
    lines = [line.partition(" uses ") for line in DRAWING.read_text("utf-8").splitlines() if " uses " in line]
    pairs = [(name.strip(), used) for name, _, used in lines if name.strip().isalpha()]
    return {name: set() if used == "nothing" else set(used.split(", ")) for name, used in pairs}


def test_the_drawing_of_the_architecture_shows_the_imports() -> None:
    assert drawn() == rooms_used()


def test_no_room_reaches_back() -> None:
    used = rooms_used()
    assert [name for name in used if name in _reached(name, used)] == []
