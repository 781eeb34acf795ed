"""The simulator's classic builder is held to a real engine's: the same contexts, their progress and images compared."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmlib_backends.served import served
from tests.support.builds import Api, Content, context, plain
from tests.support.engines import engine

pytestmark = pytest.mark.engine

FILES: dict[str, Content] = {
    "a.txt": "A",
    "b.txt": "B",
    "d": None,
    "d/f": "F",
    "d/deep": None,
    "d/deep/g": "G",
    "link": "->a.txt",
    "out": "->/etc/hostname",
    "t.tar": context({"in/x": "X", "y": "Y"}),
}
FROM = "FROM busybox\n"


@pytest.fixture(scope="module")
def apis() -> Iterator[tuple[Api, Api]]:
    """The engine's, and the simulator's."""
    with engine() as real, served("simulator --offline") as simulated:
        yield Api(real.host), Api(simulated.host)


def both(apis: tuple[Api, Api], text: str, **query: Any) -> tuple[list[Any], list[Any]]:
    body = context({"Dockerfile": text, **FILES})
    first, second = (plain(each.build_of(body, **query)) for each in apis)
    return first, second


RIGHT = [
    "RUN echo hi; echo err >&2",
    'ENV a=b c="d e" f=x\\ y\nENV old x y\nRUN echo $a $c $f $old',
    "ENV a=1 b=$a a=2 \\\n  c=${a:-x} d=${b:-y} e=${a:+z} f='$a' g=\"$a\" h=\\$a",
    "LABEL \"a b\"=c d='e f' g=h\nLABEL k v w",
    "ARG a=1 b\nARG c=$a\nRUN echo $a $b $c\nENV d=$c",
    "ENV a=env\nARG a=x\nRUN echo $a",
    "WORKDIR /a\nWORKDIR b\nRUN pwd\nWORKDIR /x/../y/\nRUN pwd",
    "USER 1:2\nRUN id -u",
    "EXPOSE 80 443/tcp 8000-8002/udp 8080:90 1-2:3",
    'ENV p="80 81"\nEXPOSE $p',
    'VOLUME /a /b\nVOLUME ["/c d"]\nENV v=/e\nVOLUME $v',
    "CMD",
    "CMD []",
    "CMD echo $a",
    'CMD ["a", "b c"]',
    "ENTRYPOINT",
    'ENTRYPOINT ["x"]',
    "CMD y\nENTRYPOINT x z",
    "ENTRYPOINT x\nCMD y",
    'SHELL ["/bin/sh", "-ec"]\nRUN true\nCMD x',
    "STOPSIGNAL 9",
    "STOPSIGNAL SIGTERM",
    "HEALTHCHECK NONE",
    'HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --retries=2 CMD true x\nHEALTHCHECK CMD ["a"]',
    "HEALTHCHECK --interval= CMD a",
    "ONBUILD RUN echo a\nONBUILD FOO",
    "MAINTAINER a b",
    'RUN ["echo", "$a"]',
    "RUN []",
    "RUN echo a \\\n  b \\\n# a comment\n  c",
    "RUN echo a \\\n\n  b",
    "RUN echo a \\",
    "# comment\n\n   RUN echo indented\n",
    "run echo small",
    "COPY a.txt /x\nCOPY a.txt b.txt /y/\nCOPY d /z\nCOPY d/deep/ /w/\nCOPY *.txt d /v/\nCOPY link /l\nRUN cat /l",
    'COPY ["a.txt", "/with space"]\nCOPY --chown=1:2 a.txt /x\nCOPY --chown=3 d /y',
    "WORKDIR /w\nCOPY a.txt .\nCOPY a.txt sub/\nADD t.tar /u\nADD a.txt /v/\nCOPY t.tar /p/\nRUN cat /w/a.txt /u/in/x",
    "COPY /a.txt ./b.txt /x/\nCOPY ?.txt /y/\nCOPY [ab].txt /z/",
    "COPY -- a.txt /b",
    "RUN printf 'a\\nb'",
    "COPY d /d\nCOPY a.txt /d/.hidden\nRUN cp /d/f /g && cp -r /d /e && ls /d && ls -a /d && ls -A /e && cat /g",
    "COPY d /d\nRUN find /d -type f -name f && cd /d && find deep -type f; find nosuch; true",
]
WRONG = [
    *("FOO", "FOO bar", "RUN --foo=x true", "RUN --mount=type=cache,target=/x true", "RUN exit 3", 'RUN ["nosuch"]'),
    *(
        "COPY nofile /x",
        "COPY ../x /x",
        "COPY a.txt",
        "COPY --chmod=1 a.txt /x",
        "COPY --foo=1 a.txt /x",
        "COPY out /x",
    ),
    *(
        "COPY --from=1 a /x",
        "COPY --from=0 a /x",
        "COPY http://nohost.invalid/x /x",
        "COPY *.none /x",
        "COPY nodir/ /x",
    ),
    *("COPY --from=a --from=b a b", "COPY --from a b", "COPY a.txt b.txt /q", "COPY a.txt b.txt .", "ADD a.txt"),
    *(
        "ENV a",
        "ENV a=b c",
        "ENV =b",
        "ENV",
        "LABEL",
        "LABEL a",
        "ENV --x a=b",
        "ENV a=${b:?err}",
        "ENV a=${b",
        'ENV a="x',
    ),
    *("ENV a='x", "ENV a=${b!c}", "ENV a=${b:!c}", "ENV a=${}", "ENV a=${b:-", "ENV a=${", "ENV a=$ b=$1x"),
    *("WORKDIR", "WORKDIR $x", "RUN touch /f\nWORKDIR /f", "RUN touch /f\nCOPY d /f", "RUN touch /f\nCOPY a.txt /f/g"),
    *(
        "USER",
        "EXPOSE",
        "EXPOSE foo",
        "EXPOSE 80/foo",
        "EXPOSE 99999",
        "EXPOSE 9-8",
        "VOLUME",
        'VOLUME [""]',
        "VOLUME $x",
    ),
    *('CMD ["a", 1]', "CMD --x", "SHELL", "SHELL x y", "SHELL []", "STOPSIGNAL", "STOPSIGNAL FOO", "STOPSIGNAL $x"),
    *("HEALTHCHECK", "HEALTHCHECK NONE x", "HEALTHCHECK --interval=5 CMD true", "HEALTHCHECK --retries=0 CMD true"),
    *("HEALTHCHECK --retries=x CMD a", "HEALTHCHECK --interval=1x CMD a", "HEALTHCHECK --interval=x CMD a"),
    *("HEALTHCHECK --interval=1us CMD true", "HEALTHCHECK --interval=0s CMD a", "HEALTHCHECK CMD", "HEALTHCHECK FOO x"),
    *(
        "ONBUILD",
        "ONBUILD ONBUILD x",
        "ONBUILD FROM x",
        "ONBUILD ENV a",
        "MAINTAINER",
        "ARG",
        "ARG =1",
        "FROM",
        "FROM a b",
    ),
    *("FROM a b c", "FROM busybox AS 1x", "FROM Bad", "FROM $x", "FROM --foo=bar x", "FROM --platform=foo busybox"),
    *("FROM scratch", "FROM scratch\nRUN x", f"RUN echo {'x' * 70000}"),
]
WHOLE = [
    *("", "\n\n# c\n", "FOO bar\n", "RUN x\n", "ARG v\nFROM $v\n", "FROM ${x:-busybox}\n", "\ufeffFROM busybox\n"),
    *(
        "# escape=x\nFROM busybox\n",
        "# escape=`\n# escape=`\nFROM busybox\n",
        "# escape=`\nFROM busybox\nRUN echo a `\n b\n",
    ),
    *(
        "FROM busybox\r\nENV a=b\r\n",
        "# syntax=x\nFROM busybox\n",
        "ARG v=busybox\nFROM $v\nRUN echo x$v\nARG v\nRUN echo y$v\n",
    ),
    "FROM busybox AS a\nRUN echo x > /f\nFROM busybox AS a\n",
    "FROM busybox as A\nRUN echo x > /f\nFROM a\nRUN cat /f\n",
    "FROM busybox AS a\nRUN echo x > /f\nFROM scratch\nCOPY --from=a /f /f\nCOPY --from=0 /f /g/\nLABEL a=b\n",
    "FROM busybox AS a\nFROM busybox\nCOPY --from=a /nofile /x\n",
    "FROM busybox AS a\nFROM busybox\nCOPY --from=a /../b /x\n",
]


@pytest.mark.parametrize(
    "dockerfile", [*(FROM + each for each in (*RIGHT, *WRONG)), *WHOLE], ids=lambda text: repr(text[:60])
)
def test_a_build_tells_what_an_engine_tells(dockerfile: str, apis: tuple[Api, Api]) -> None:
    first, second = both(apis, dockerfile, nocache="1")
    assert second == first, dockerfile


@pytest.mark.parametrize("dockerfile", RIGHT)
def test_the_image_is_the_same(dockerfile: str, apis: tuple[Api, Api]) -> None:
    found: list[Any] = []
    for api in apis:
        api.build(FROM + dockerfile, FILES, t="made")
        image = api.value("/images/made/json")
        history = [each["CreatedBy"] for each in api.value("/images/made/history")[:-1]]
        shown = {name: image[name] for name in ("Author", "Config", "Architecture", "Os")}
        found.append(plain([shown, *(each for each in history if "COPY" not in each and "ADD" not in each)]))
    assert found[1] == found[0]


def test_files_are_where_an_engine_puts_them(apis: tuple[Api, Api]) -> None:
    steps = [*RIGHT[34:38], "RUN echo x > /made && rm /x", "ADD d d/deep/g /n/"]
    names = [
        *("/x", "/y/a.txt", "/z/f", "/z/deep/g", "/w/g", "/v/a.txt", "/v/f", "/v/deep/g", "/l", "/with space", "/y/f"),
        *("/w/a.txt", "/w/sub/a.txt", "/u/in/x", "/u/y", "/p/t.tar", "/made", "/nosuch"),
    ]
    found: list[Any] = []
    for api in apis:
        for number, step in enumerate(steps):
            api.build(FROM + step, FILES, t=f"files:{number}")
        found.append([_looked_at(api, f"files:{number}", names) for number in range(len(steps))])
    assert found[1] == found[0]


def _looked_at(api: Api, image: str, names: list[str]) -> list[Any]:
    script = "; ".join(f"echo '{name}'; test -d '{name}' && echo folder || cat '{name}'; echo" for name in names)
    built = api.build(f"FROM {image}\nRUN {script}; true", {})
    return [line for line in plain(built) if isinstance(line, list)]


def test_the_cache_is_an_engines(apis: tuple[Api, Api]) -> None:
    scripts: list[tuple[str, dict[str, Any]]] = [
        ("ENV a=b\nRUN echo cached > /x\nCOPY a.txt /y\nCMD z", {}),
        ("ENV a=b\nRUN echo cached > /x\nCOPY a.txt /y\nCMD z", {}),
        ("ENV a=b\nRUN echo cached > /x\nCOPY b.txt /y\nCMD z", {}),
        ("ENV a=b\nRUN echo other > /x\nCOPY a.txt /y\nCMD z", {"t": "from"}),
        ("ENV a=b\nRUN echo other > /x", {"cachefrom": '["from"]'}),
        ("ENV a=b\nRUN echo other > /x", {"cachefrom": '["nosuchtag"]'}),
        ("ARG a\nRUN echo $a", {"buildargs": '{"a": "1"}'}),
        ("ARG a\nRUN echo $a", {"buildargs": '{"a": "1"}'}),
        ("ARG a\nRUN echo $a", {"buildargs": '{"a": "2"}'}),
        ("RUN echo proxied", {"buildargs": '{"HTTP_PROXY": "1"}'}),
        ("RUN echo proxied", {"buildargs": '{"HTTP_PROXY": "2"}'}),
    ]
    for dockerfile, query in scripts:
        first, second = both(apis, FROM + dockerfile, **query)
        assert second == first, (dockerfile, query)


def test_lists_show_what_a_build_leaves_as_an_engines_do(apis: tuple[Api, Api]) -> None:
    """Its steps' containers and images, also those of nothing; `info` counts the images that are listed."""
    before = [len(api.value("/containers/json?all=1")) for api in apis]
    steps = [_steps(api) for api in apis]
    both(apis, "FROM scratch\nCOPY a.txt /left\nRUN echo x\nCMD y", t="left")  # there is no shell that could run a step
    both(apis, f"{FROM}ENV left=1\nRUN exit 3")
    seen: list[tuple[Any, ...]] = []
    for api, count, known in zip(apis, before, steps, strict=True):
        containers = api.value("/containers/json?all=1")
        made = containers[: len(containers) - count]
        seen.append(([(each["Image"].partition(":")[0], each["State"]) for each in made], _steps(api) - known))
        assert len(api.value("/images/json?all=1")) == api.value("/info")["Images"]
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 2


def _steps(api: Api) -> int:
    """How many images are steps of others."""
    return len(api.value("/images/json?all=1")) - len(api.value("/images/json"))


QUERIES: list[dict[str, Any]] = [
    *(
        {"t": ["a", "b:2", "a:latest", ""]},
        {"t": "BAD"},
        {"t": "a@sha256:" + "0" * 64},
        {"q": "1"},
        {"q": "1", "t": "qq"},
    ),
    *(
        {"rm": "0"},
        {"forcerm": "1"},
        {"remote": "foo"},
        {"remote": "client-session"},
        {"version": "3"},
        {"version": "1"},
    ),
    *({"squash": "1"}, {"securityopt": "x"}, {"isolation": "default"}, {"isolation": "hyperv"}, {"target": "nosuch"}),
    *({"target": "0"}, {"labels": '{"b": "$x", "a": "2"}'}, {"buildargs": '{"c": "3", "HTTP_PROXY": "p"}'}),
    *({"shmsize": "-1"}, {"memory": "1"}, {"memory": "x"}, {"networkmode": "nosuch"}, {"networkmode": "none"}),
    *({"platform": "foobar"}, {"platform": "linux/amd64"}, {"platform": "a/b/c/d"}, {"dockerfile": "nosuch"}),
    *({"dockerfile": "../x"}, {"dockerfile": "/Dockerfile"}, {"dockerfile": "a.txt"}, {"cgroupparent": "x"}),
    *({"cpushares": "10", "cpuperiod": "100000", "cpuquota": "50000", "memory": "100000000", "memswap": "-1"},),
]


@pytest.mark.parametrize("query", QUERIES, ids=json.dumps)
def test_a_parameter_means_what_it_means_to_an_engine(query: dict[str, Any], apis: tuple[Api, Api]) -> None:
    for step in ("RUN echo hi > /x", "RUN exit 2"):
        first, second = both(apis, FROM + step, nocache="1", **query)
        assert second == first


def test_a_context_is_read_as_an_engine_reads_it(apis: tuple[Api, Api]) -> None:
    data = context(
        {
            "Dockerfile": f"{FROM}COPY . /x\nRUN cat /x/Dockerfile /x/.dockerignore /x/f; true",
            "f": "F",
            ".dockerignore": "Dockerfile\n",
        }
    )
    bodies = [data, gzip.compress(data), bz2.compress(data), lzma.compress(data), b"garbage" * 100, b""]
    bodies += [context({"x": "y"}), context({"dockerfile": FROM}), context({"x/Dockerfile": FROM})]
    for body in bodies:
        first, second = (plain(each.build_of(body, nocache="1")) for each in apis)
        assert second == first


def test_an_image_does_its_triggers(apis: tuple[Api, Api]) -> None:
    for dockerfile, query in ((f"{FROM}ONBUILD RUN echo trig\nONBUILD COPY a.txt /", {"t": "onb"}), ("FROM onb", {})):
        first, second = both(apis, dockerfile, nocache="1", **query)
        assert second == first


@pytest.mark.parametrize("cli", ["docker", "/usr/bin/docker"])
def test_the_clis_build(cli: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"{FROM}COPY a /a\nRUN cat /a\n")
    (tmp_path / "a").write_text("content")
    with served("simulator") as running:
        environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_HOST": running.host}
        command = [cli, "build", "-t", "made:1", tmp_path]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "\ncontent" in done.stdout
    assert "Successfully tagged made:1" in done.stdout
