"""The schema that is shipped: made of the OpenAPI documents, and the same as the types that an engine has."""

import json
import subprocess
import sys
from typing import Any

import pytest

from swarmlib_backends.dockerapi import schema
from swarmlib_backends.dockerapi.parameters import Parameter, Params
from swarmlib_backends.dockerapi.rows import ROWS, Kind
from tests.support.apikeywords import KEYWORDS, encoded_keywords
from tests.support.apischema import OPERATIONS, compiled, encoded_operations, encoded_schema
from tests.support.apischema_differences import BODIES, FIELDS, QUERY
from tests.support.paths import DATA

SHIPPED: dict[str, Any] = json.loads(schema.DATA.read_text())
GO: dict[str, Any] = json.loads((DATA / "docker-20.10-go-types.json").read_text())
GO_KINDS = {
    "bool": "boolean",
    "bytes": "base64",
    "custom:strslice.StrSlice": "words",
    "float32": "float64",
    "int": "int64",
    "uint": "uint64",
}


def test_the_shipped_data_is_what_the_generator_makes() -> None:
    assert schema.DATA.read_text() == encoded_schema()
    assert OPERATIONS.read_text() == encoded_operations()
    assert KEYWORDS.read_text() == encoded_keywords(compiled()["rows"])


def test_every_row_has_the_parameters_of_the_documents() -> None:
    documented = compiled()["rows"]
    assert documented.keys() == {row.name for row in ROWS}
    for row in ROWS:
        assert row.params.declared.keys() == documented[row.name]["query"].keys(), row.name


def test_no_parameter_hides_a_method_of_the_mapping_that_it_is_in() -> None:
    for row in ROWS:
        fields = {
            name for kind in row.params.__mro__ for name, each in vars(kind).items() if isinstance(each, Parameter)
        }
        assert len(fields) == len(row.params.declared)
        assert {name for name in fields if hasattr(Params, name)} == set(), row.name


def test_rows_whose_body_is_bytes_have_no_schema_of_it() -> None:
    uploads = {row.name for row in ROWS if row.upload or row.kind is Kind.WHOLE}
    assert uploads & SHIPPED["rows"].keys() == set()


@pytest.mark.parametrize("row", GO)
def test_an_engine_reads_what_the_schema_says(row: str) -> None:
    found = list(_differences(GO[row], SHIPPED["rows"][row], row))
    assert found == []


def _differences(go: Any, ours: Any, place: str) -> Any:
    if isinstance(ours, str) and ours.startswith("#"):
        ours = SHIPPED["types"][ours[1:]]
    if isinstance(go, dict) and isinstance(ours, dict):
        for name, each in go.items():
            yield from _differences(each, ours.get(name), f"{place}.{name}")
    elif isinstance(go, list) and isinstance(ours, list):
        yield from _differences(go[0], ours[0], f"{place}[]")
    elif isinstance(go, dict | list) or GO_KINDS.get(go, go) != ours:
        yield place, go, ours


def test_no_two_fields_of_a_struct_fold_to_one() -> None:
    def check(type_: Any) -> None:
        if isinstance(type_, dict):
            folded = [schema.fold(name) for name in type_]
            assert len(folded) == len(set(folded)), type_
            for each in type_.values():
                check(each)
        elif isinstance(type_, list):
            check(type_[0])

    for type_ in SHIPPED["types"].values():
        check(type_)
    for row in SHIPPED["rows"].values():
        check(row)


@pytest.mark.parametrize("table", [BODIES, FIELDS, QUERY], ids=["bodies", "fields", "query"])
def test_each_difference_has_its_reason(table: dict[str, tuple[Any, str]]) -> None:
    assert [place for place, (_, reason) in table.items() if not reason.strip()] == []


def test_the_data_is_loaded_by_the_first_request_and_not_before() -> None:
    code = "from swarmlib_backends.dockerapi import canonical, schema; print(schema._data.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"0\n"
