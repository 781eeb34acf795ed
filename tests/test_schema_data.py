"""The schema that is shipped: made of the OpenAPI documents, and the same as the types that an engine has."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmlib_backends.dockerapi import parameters, schema
from swarmlib_backends.dockerapi.rows import ROWS, Kind
from tests.apischema import encoded
from tests.apischema_differences import BODIES, FIELDS, QUERY

SHIPPED: dict[str, Any] = json.loads(schema.DATA.read_text())
GO: dict[str, Any] = json.loads((Path(__file__).parent / "data/docker-20.10-go-types.json").read_text())
GO_KINDS = {
    "bool": "boolean",
    "bytes": "base64",
    "custom:strslice.StrSlice": "words",
    "float32": "float64",
    "int": "int64",
    "uint": "uint64",
}


def test_the_shipped_data_is_what_the_generator_makes() -> None:
    assert schema.DATA.read_text() == encoded()


def test_every_row_has_a_schema_and_every_type_a_reader() -> None:
    assert SHIPPED["rows"].keys() == {row.name for row in ROWS}
    for row in ROWS:
        for kind in schema.of_row(row.name).query.values():
            if isinstance(kind, str):
                parameters.text_reader(kind)


def test_rows_whose_body_is_bytes_have_no_schema_of_it() -> None:
    uploads = {row.name for row in ROWS if row.upload or row.kind is Kind.WHOLE}
    assert {name for name in uploads if SHIPPED["rows"][name]["body"] is not None} == set()


@pytest.mark.parametrize("row", GO)
def test_an_engine_reads_what_the_schema_says(row: str) -> None:
    found = list(_differences(GO[row], SHIPPED["rows"][row]["body"], row))
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
        check(row["body"])


@pytest.mark.parametrize("table", [BODIES, FIELDS, QUERY], ids=["bodies", "fields", "query"])
def test_each_difference_has_its_reason(table: dict[str, tuple[Any, str]]) -> None:
    assert [place for place, (_, reason) in table.items() if not reason.strip()] == []


def test_the_data_is_loaded_by_the_first_request_and_not_before() -> None:
    code = "from swarmlib_backends.dockerapi import canonical, schema; print(schema._data.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"0\n"
