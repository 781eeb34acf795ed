"""The routing table: complete for its families, and the same read from either side."""

import os
import subprocess
import sys
from string import ascii_letters
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmlib import ERRORS, BadAnswer, Invalid, NotFound, SwarmError, Unavailable, Unsupported, Verb
from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.rows import ROWS, Row
from swarmlib_backends.dockerapi.status import code_headers, error_body, error_of, status_of
from swarmlib_backends.dockerapi.targets import Moved
from tests.support.paths import DATA

PASSED_ON_WHOLE = {("POST", "/session")}
"""What `dockerserver` hands over as it is, and so needs no row."""

words = st.text(ascii_letters + "0123456789é /%?&=+:;", min_size=1, max_size=12)
names = words.filter(lambda w: not any(part in ("", ".", "..") for part in w.split("/")))
parameters = words.filter(lambda w: w[0] != ":")
queries = st.dictionaries(parameters, st.one_of(words, st.lists(words, min_size=2)), max_size=4)
versions = st.one_of(st.none(), st.sampled_from(["1.24", "1.41"]))


def _operations(document: str) -> set[tuple[str, str, str]]:
    paths = yaml.load((DATA / document).read_text(), yaml.CSafeLoader)["paths"]
    return {
        (method.upper(), path, operation["operationId"])
        for path, methods in paths.items()
        for method, operation in methods.items()
        if (method.upper(), path) not in PASSED_ON_WHOLE
    }


@pytest.mark.parametrize(("document", "least"), [("docker-v1.41.yaml", 105), ("docker-v1.56.yaml", 107)])
def test_every_operation_of_the_api_has_a_row(document: str, least: int) -> None:
    operations = _operations(document)
    assert len(operations) >= least
    assert operations - {(row.method, row.template, row.name) for row in ROWS} == set()


def test_no_two_rows_are_the_same_message() -> None:
    messages = [(row.verb, row.shape, row.upload) for row in ROWS if row.when is None]
    assert sorted(map(str, messages)) == sorted(map(str, set(messages)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@settings(max_examples=settings.default.max_examples // 5)
@given(name=names, query=queries, version=versions)
def test_request_to_message_to_request_is_the_identity(
    row: Row, name: str, query: dict[str, str | list[str]], version: str | None
) -> None:
    if row.when:
        query = {**query, row.when[0]: row.when[1]}
    elif row.name == "ImageCreate":
        query.pop("fromSrc", None)
    if not row.nested_names:
        name = name.replace("/", "-")
    target = table.target(row, row.path(name), query, version or "")
    found = table.route(row.method, target)
    assert found.row is row
    assert found.path == row.path(name)
    assert (found.params, found.version) == (query, version or "")
    assert table.row_of(found.row.verb, found.path, upload=row.upload) is row
    assert table.target(found.row, found.path, found.params, found.version) == target


def test_names_may_hold_slashes_where_the_api_says_so() -> None:
    found = table.route("GET", "/v1.41/images/registry:5000/team/app:1.0/json")
    assert found.row.name == "ImageInspect"
    assert found.path == ("images", "registry:5000/team/app:1.0")
    assert (found.params, found.version) == ({}, "1.41")


@pytest.mark.parametrize(("target", "row"), [("json", "ContainerInspect"), ("logs", "ContainerLogs")])
def test_a_container_may_be_named_with_its_engine(target: str, row: str) -> None:
    found = table.route("GET", f"/containers/a/web/{target}")
    assert (found.row.name, found.path[:2]) == (row, ("containers", "a/web"))


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("//containers/json?all=1&all=%32", "/containers/json?all=1&all=%32"),
        ("/containers/../json", "/json"),
        ("/containers/%2e%2E/json", "/json"),
        ("/containers/./json", "/containers/json"),
        ("/containers/a%2f..%2fb/json", "/containers/b/json"),
        ("/containers/a%2f%2fb/json", "/containers/a/b/json"),
        ("/v1.41/version/../containers//json/", "/v1.41/containers/json/"),
        ("/../../x/..", "/"),
        ("//evil.example/", "/evil.example/"),
        ("/.//\\evil.example", "/%5Cevil.example"),
        ("//a%0d%0aSet-Cookie:x", "/a%0D%0ASet-Cookie:x"),
        ("//caf%e9", "/caf%E9"),
        ("*", "/%2A"),
    ],
)
def test_a_path_with_a_detour_is_another_place(target: str, location: str) -> None:
    """As an engine redirects it; nothing is done under such a path."""
    with pytest.raises(Moved) as caught:
        table.route("GET", target)
    assert caught.value.location == location


@pytest.mark.parametrize("target", ["/a/\0", "/a/%00", "/a/.%0a", "/a/\x7f"])
def test_a_path_holds_no_control_character(target: str) -> None:
    with pytest.raises(Invalid, match="invalid name"):
        table.route("GET", target)


@pytest.mark.parametrize(
    "target",
    [
        *("/", "/v1.41/", "/_ping/", "/containers/json/", "/volumes/", "/containers/web/", "/networks/web/"),
        *("/containers/%ff/json", "/containers/%c0%ae%c0%ae/json", "/nonesuch/%ff"),
    ],
)
def test_where_nothing_can_be_nothing_is_found(target: str) -> None:
    with pytest.raises(NotFound) as caught:
        table.route("GET", target)
    assert not isinstance(caught.value, table.NoRow)  # or it would go to the engine as it is


def test_an_engine_lists_networks_under_two_paths() -> None:
    for target in ("/networks", "/networks/", "/v1.41/networks/"):
        assert table.route("GET", target).row.name == "NetworkList"
    with pytest.raises(NotFound):
        table.route("POST", "/networks/create/")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/containers/%zz/json", "invalid URL escape"),
        ("/containers/json?all=%4", "invalid URL escape"),
        ("/containers/json?all=1;filters={}", "semicolon"),
        ("/v1.2.3.4/containers/json", "API version"),
        ("/v1.99999/containers/json", "API version"),
    ],
)
def test_what_readers_would_decode_differently_is_refused(target: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        table.route("GET", target)


@given(st.binary(min_size=1))
def test_the_bytes_of_a_parameter_come_through(data: bytes) -> None:
    found = table.route("GET", f"/containers/web/archive?path={quote(data)}")
    assert os.fsencode(found.params["path"]) == data
    assert (
        table.target(found.row, found.path, found.params, found.version)
        == f"/containers/web/archive?path={quote_plus(data)}"
    )


def test_a_parameter_without_a_name_says_nothing() -> None:
    assert table.route("GET", "/containers/json?=1&&all=1&").params == {"all": "1"}


@pytest.mark.parametrize(
    ("method", "target", "row", "path"),
    [
        ("POST", "/v1.41/containers%2fcreate", "ContainerCreate", ("containers",)),
        ("POST", "/v1.41/containers/%63reate", "ContainerCreate", ("containers",)),
        ("GET", "/%76%31.41/containers/json", "ContainerList", ("containers",)),
        ("GET", "/services/web%2Flogs", "ServiceLogs", ("services", "web", "logs")),
        ("GET", "/containers/%252e%252e/json", "ContainerInspect", ("containers", "%2e%2e")),
        ("GET", "/containers/a%5C..%5Cb/json", "ContainerInspect", ("containers", "a\\..\\b")),
    ],
)
def test_a_path_is_decoded_once_and_then_looked_up(method: str, target: str, row: str, path: tuple[str, ...]) -> None:
    found = table.route(method, target)
    assert (found.row.name, found.path) == (row, path)


@pytest.mark.parametrize(
    ("version", "usual"),
    [
        *(("01.41", "1.41"), ("1.041", "1.41"), ("1.41.0", "1.41"), ("1.41.", "1.41"), ("1.41.0.0", "1.41")),
        *(("1", "1.0"), ("1.", "1.0"), (".41", "0.41"), ("1..41", "1.0.41"), ("1.40.1", "1.40.1"), (".", "0.0")),
    ],
)
def test_a_version_has_one_form(version: str, usual: str) -> None:
    """As an engine compares versions: number by number, a missing one for 0."""
    found = table.route("GET", f"/v{version}/info")
    assert (found.params, found.version) == ({}, usual)
    assert table.route("GET", table.target(found.row, found.path, found.params, found.version)) == found


def test_a_version_that_is_none_does_not_get_into_a_target() -> None:
    with pytest.raises(Invalid, match="API version"):
        table.target(table.row_of(Verb.GET, (), upload=False), (), {}, "1.41/_ping HTTP/1.1")


@pytest.mark.parametrize("query", ["fromSrc=-&fromImage=a", "fromImage=a&fromSrc=-", "fromSrc=x&fromSrc=-"])
def test_an_image_is_only_imported_where_an_engine_does_not_pull(query: str) -> None:
    assert table.route("POST", f"/images/create?{query}").row.name == "ImageCreate"
    assert table.route("POST", "/images/create?fromSrc=-&fromSrc=x&fromImage=").row.name == "ImageImport"


def test_a_name_can_not_make_its_target_another_operation() -> None:
    for verb, path in [(Verb.GET, ("services", "web/logs")), (Verb.RM, ("containers", "web/checkpoints/c1"))]:
        with pytest.raises(Invalid, match="changes the operation"):
            table.target(table.row_of(verb, path, upload=False), path, {}, "")


def test_a_long_target_is_not_kept() -> None:
    before = table._short_route.cache_info().currsize
    for number in range(3):
        table.route("GET", f"/containers/json?filters={'x' * 5000}{number}")
    assert table._short_route.cache_info().currsize == before


def test_a_query_can_not_pass_for_what_the_table_keeps_for_itself() -> None:
    found = table.route("GET", "/containers/json?:version=1.30&version=1.31&x-registry-auth=forged")
    assert found.version == ""
    assert found.params == {":version": "1.30", "version": "1.31", "x-registry-auth": "forged"}


def test_what_has_no_row_is_not_found() -> None:
    with pytest.raises(NotFound):
        table.route("GET", "/nothing/here")
    with pytest.raises(Unsupported, match="does not support stop on images/a"):
        table.row_of(Verb.STOP, ("images", "a"), upload=False)


@pytest.mark.parametrize("name", ["..", ".", "../images/json", "a//b", "/", "", "a\n"])
def test_a_name_that_makes_the_target_another_one_is_refused(name: str) -> None:
    row = table.row_of(Verb.GET, ("containers", name), upload=False)
    with pytest.raises(Invalid, match="invalid name"):
        table.target(row, ("containers", name), {}, "")


def test_a_name_with_dots_and_slashes_that_is_normal_is_kept() -> None:
    row = table.row_of(Verb.GET, ("containers", "a/.b..c"), upload=False)
    assert table.target(row, ("containers", "a/.b..c"), {}, "") == "/containers/a/.b..c/json"


@pytest.mark.parametrize("kind", ERRORS.values(), ids=lambda kind: kind.code)
def test_an_error_is_the_same_again_after_http(kind: type[SwarmError]) -> None:
    error = kind("it failed")
    found = error_of(status_of(error), code_headers(error), error_body(error), "docker")
    assert (type(found), found.message) == (kind, "it failed")


@pytest.mark.parametrize(("status", "kind"), [(404, BadAnswer), (409, BadAnswer), (502, Unavailable)])
def test_the_page_of_a_web_server_says_nothing_of_an_engines_objects(status: int, kind: type[SwarmError]) -> None:
    found = error_of(status, ((b"Content-Type", b"text/html;charset=utf-8"),), b"<html>Not found</html>", "docker a")
    assert type(found) is kind
    assert found.message == f"docker a: a web server answered with the status {status} and a page, not an engine"
    assert status_of(found) == status_of(kind(""))


def test_a_text_of_something_else_is_passed_on() -> None:
    found = error_of(404, ((b"Content-Type", b"text/plain; charset=utf-8"),), b"404 page not found\n", "docker a")
    assert (type(found), found.message) == (NotFound, "docker a: 404 page not found")


NEW_ROW = """
from swarmlib import Request, Verb
from swarmlib_backends.dockerapi import rows

rows.ROWS += (rows.Row("ThingPolish", "POST", "/things/{id}/polish", Verb.SET, "things/*/polish", status=204),)

from swarmlib_backends.dockerapi import table
from swarmlib_backends.dockerapi.canonical import canonical

route = table.route("POST", "/v1.41/things/lamp/polish?hard=1")
asked = canonical(Request(route.row.verb, route.path, route.params))
row = table.row_of(asked.verb, asked.path, upload=False)
print(row.name, row.status, asked.path, table.target(row, asked.path, asked.params, route.version))
"""


def test_a_new_operation_takes_one_row() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_ROW], capture_output=True, text=True, check=True)
    assert done.stdout == "ThingPolish 204 ('things', 'lamp', 'polish') /v1.41/things/lamp/polish?hard=1\n"
