"""A grammar of HTTP requests that are nearly right: each exchange is several, pipelined, with faults by a seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

UPGRADE = [b"Connection: Upgrade", b"Upgrade: tcp"]
_JSON = b"Content-Type: application/json"
_TARGETS: list[tuple[str, str, list[bytes], object]] = [
    ("GET", "/containers/{t}/json", [], None),
    ("GET", "/containers/json?all=1", [], None),
    ("GET", "/containers/json?all=0&filters=%7B%22name%22%3A%5B%22{t}%22%5D%7D", [], None),
    ("DELETE", "/containers/{t}?force=1", [], None),
    ("POST", "/containers/{t}/kill?signal=KILL", [], None),
    ("POST", "/containers/{t}/rename?name=x{t}", [], None),
    ("POST", "/containers/create?name={t}", [_JSON], {"Image": "nonesuch:{t}"}),
    ("POST", "/containers/{t}/exec", [_JSON], {"Cmd": ["true"]}),
    ("PUT", "/containers/{t}/archive?path=%2F", [b"Content-Type: application/x-tar"], "tar"),
    ("POST", "/containers/{t}/attach?stream=1&stdout=1", UPGRADE, None),
    ("POST", "/exec/{t}/start", [*UPGRADE, _JSON], {"Detach": False}),
    ("POST", "/session", [b"Connection: Upgrade", b"Upgrade: h2c", b"X-Docker-Expose-Session-Uuid: {t}"], None),
    ("GET", "/containers/{t}/logs?stdout=1&follow=0", [], None),
    ("GET", "/containers/{t}/attach/ws", [b"Connection: Upgrade", b"Upgrade: websocket"], None),
    ("GET", "/nonesuch/{t}", [], None),
    ("GET", "/nonesuch/{t}", UPGRADE, None),
    ("HEAD", "/_ping", [], None),
    ("GET", "/_ping", [], None),
    ("GET", "/images/{t}/json", [], None),
    ("DELETE", "/images/{t}?force=1", [], None),
    ("GET", "/volumes/{t}", [], None),
    ("DELETE", "/volumes/{t}", [], None),
    ("DELETE", "/networks/{t}", [], None),
    ("POST", "/networks/{t}/connect", [_JSON], {"Container": "{t}"}),
    ("HEAD", "/containers/{t}/archive?path=%2F", [], None),
    ("GET", "/events?since=1&until=1", [], None),
]


@dataclass
class Request:
    """One request before it is bytes."""

    method: str
    target: bytes
    headers: list[bytes]
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    line_end: bytes = b"\r\n"
    chunked: bool = False
    framing: list[bytes] | None = None
    raw_body: bytes | None = None
    faults: list[str] = field(default_factory=list[str])

    def wire(self) -> bytes:
        """Its bytes."""
        body = self.body if self.raw_body is None else self.raw_body
        framing = self.framing
        if framing is None:
            framing = [b"Transfer-Encoding: chunked"] if self.chunked else [b"Content-Length: %d" % len(self.body)]
            framing = framing if self.body or self.method in ("POST", "PUT") else []
        if self.chunked and self.raw_body is None:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        first = self.method.encode("latin-1") + b" " + self.target + (b" " + self.version if self.version else b"")
        return self.line_end.join([first, *self.headers, *framing, b"", b""]) + body


def request(random: Random, token: str) -> Request:
    """A right request for something that is not there, under a name of its own."""
    method, target, headers, given = random.choice(_TARGETS)
    body = b""
    if given == "tar":
        body = b"\0" * 1024
    elif given is not None:
        body = json.dumps(given).replace("{t}", token).encode()
    prefix = random.choice(["", "/v1.41", "/v1.41", "/v1.24", "/v1.40"])
    made = Request(method, (prefix + target.replace("{t}", token)).encode(), [b"Host: docker"], body)
    made.headers += [each.replace(b"{t}", token.encode()) for each in headers]
    made.chunked = bool(body) and random.random() < 0.3
    return made


def inner(token: str) -> bytes:
    """A request to be hidden in another."""
    return b"DELETE /v1.41/containers/smuggled-%s?force=1 HTTP/1.1\r\nHost: docker\r\n\r\n" % token.encode()


Fault = Callable[[Request, Random, str], None]


def _header(*choices: bytes) -> Fault:
    def fault(made: Request, random: Random, token: str) -> None:
        made.headers.insert(
            random.randint(0, len(made.headers)), random.choice(choices).replace(b"{t}", token.encode())
        )

    return fault


def _framing(*choices: list[bytes]) -> Fault:
    def fault(made: Request, random: Random, token: str) -> None:
        length = b"%d" % len(made.body)
        made.framing = [each.replace(b"{n}", length) for each in random.choice(choices)]

    return fault


def _in_target(*choices: bytes) -> Fault:
    def fault(made: Request, random: Random, token: str) -> None:
        at = random.randint(0, len(made.target))
        made.target = made.target[:at] + random.choice(choices) + made.target[at:]

    return fault


def _query(*choices: bytes) -> Fault:
    def fault(made: Request, random: Random, token: str) -> None:
        made.target += (b"&" if b"?" in made.target else b"?") + random.choice(choices)

    return fault


def _target_form(made: Request, random: Random, token: str) -> None:
    forms = [b"http://docker%s", b"HTTP://user:pw@evil:1%s", b"//docker%s", b"docker:2375", b"*", b"", b"%s#fragment"]
    forms += [b"/..%s", b"/.%s", b"/%%2e%%2e%s", b"/%s", b"%s/", b"%s/../json", b"unix://x%s", b"/v1.41%s", b"?%s"]
    form = random.choice(forms)
    made.target = form % made.target if b"%s" in form else form


def _encoded(made: Request, random: Random, token: str) -> None:
    path, question, query = made.target.partition(b"?")
    at = random.randrange(1, len(path)) if len(path) > 1 else 0
    code = random.choice([b"%%%02x", b"%%%02X", b"%%25%02x"]) % path[at]
    made.target = path[:at] + code + path[at + 1 :] + question + query


def _version(made: Request, random: Random, token: str) -> None:
    choices = (b"HTTP/1.0 HTTP/0.9 HTTP/2.0 HTTP/1.2 HTTP/1.10 HTTP/01.1 HTTP/1 http/1.1 HTTP/1.1x ICY/1.1").split()
    made.version = random.choice([*choices, b"", b" HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP /1.1"])


def _api_version(made: Request, random: Random, token: str) -> None:
    choices = b"/v1.41/v1.41 /v1.11 /v1.99 /v01.41 /v1.041 /v1 /V1.41 /v1.41. /v99999999999.1 /v1.4%31 /v-1.41".split()
    made.target = random.choice(choices) + made.target.removeprefix(b"/v1.41")


def _method(made: Request, random: Random, token: str) -> None:
    choices = ["get", "Get", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PRI", "M-SEARCH", "G\0ET", "GE T", "", "G@T"]
    made.method = random.choice([*choices, "X" * 3000, "DELETE", "POST", "HEAD", "GET\r", "\u00e9", made.method + "\t"])


def _line_ends(made: Request, random: Random, token: str) -> None:
    made.line_end = random.choice([b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r", b" \r\n", b"\0\r\n"])


def _one_line_end(made: Request, random: Random, token: str) -> None:
    end = random.choice([b"\n", b"\r", b"\r\n ", b"\r\n\t", b"\r\r\n", b"\n\n"])
    made.headers.append(b"X-A: b" + end + b"X-B: c")


def _header_name(made: Request, random: Random, token: str) -> None:
    at = random.randrange(len(made.headers))
    name, _, value = made.headers[at].partition(b":")
    forms = (
        b"%s : %s",
        b" %s: %s",
        b"\t%s: %s",
        b"%s\0: %s",
        b"%s\x0b: %s",
        b"%s:%s",
        b"%s\xa0: %s",
        b"%s%s",
        b":%s%s",
    )
    made.headers[at] = random.choice(forms) % (name, value.strip())


def _hidden_body(made: Request, random: Random, token: str) -> None:
    made.raw_body = made.body + inner(token)
    made.framing = random.choice(
        [
            [b"Content-Length: %d" % len(made.body)],
            [b"Content-Length: %d" % len(made.raw_body), b"Content-Length: %d" % len(made.body)],
            [b"Content-Length: %d, %d" % (len(made.raw_body), len(made.raw_body))],
            [b"Content-Length: +%d" % len(made.raw_body)],
            [b"Content-Length: 0%d" % len(made.raw_body)],
            [b"Content-Length: %d" % len(made.raw_body), b"Transfer-Encoding: chunked"],
            [b"Content-Length: %d" % len(made.raw_body)],
            [],
        ]
    )


def _chunks(made: Request, random: Random, token: str) -> None:
    made.framing = [b"Transfer-Encoding: chunked"]
    n, body = len(made.body), made.body
    sizes = [b"%x" % n, b"0x%x" % n, b"+%x" % n, b"-1", b"0%x" % n, b"%x " % n, b" %x" % n, b"%x;a=b" % n, b"%x;" % n]
    sizes += [
        b"1_0",
        b"f" * 16,
        b"1" + b"0" * 16,
        b'%X;a="\r\n"' % n,
        b"%x\t" % n,
        b"",
        b"zz",
        b"%x\0" % n,
        b"%x,1" % n,
    ]
    end = random.choice([b"\r\n", b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n"])
    last = random.choice([b"0\r\n\r\n", b"0\n\n", b"00\r\n\r\n", b"0;x\r\n\r\n", b"0\r\n", b"-0\r\n\r\n", b""])
    if random.random() < 0.3:
        last = (
            b"0\r\nX-Trailer: a\r\n"
            + random.choice([b"Content-Length: 5\r\n", b"bad\r\n", b"Host: e\r\n", b""])
            + b"\r\n"
        )
    after = random.choice([b"\r\n", b"\r\n", b"\n", b"XX", b""])
    made.raw_body = random.choice(sizes) + end + body + after + last + random.choice([b"", inner(token)])


def _truncated(made: Request, random: Random, token: str) -> None:
    made.framing = [b"Content-Length: %d" % (len(made.body) + random.choice([1, 2, 100, 2**31, 2**63 - 1, 2**64]))]


def _long(made: Request, random: Random, token: str) -> None:
    size = random.choice([9_000, 70_000, 1_100_000])
    which = random.randrange(3)
    if which == 0:
        made.target += b"?x=" + b"a" * size
    elif which == 1:
        made.headers.append(b"X-Long: " + b"a" * size)
    else:
        made.headers += [b"X-%d: a" % number for number in range(size // 10)]


FAULTS: dict[str, Fault] = {
    "obs-fold": _header(
        b"X-Fold: a\r\n b", b"X-Fold: a\r\n\tTransfer-Encoding: chunked", b"X-Fold:\r\n Content-Length: 5"
    ),
    "line ends": _line_ends,
    "one line end": _one_line_end,
    "header name": _header_name,
    "odd length": _framing(
        *([b"Content-Length: " + v] for v in b"+{n} -{n} {n}.0 0x{n} {n}_0 {n};a {n},{n} 0{n} {n}\x0b".split()),
        [b"Content-Length:"],
        [b"Content-Length: {n}", b"Content-Length: {n}"],
        [b"Content-Length: {n} {n}"],
        [b"Content-Length: {n}", b"content-length: 9"],
        [b"Content-Length: \xd9\xa1"],
        [b"Content-Length: " + b"9" * 40],
    ),
    "length and chunked": _framing(
        [b"Content-Length: {n}", b"Transfer-Encoding: chunked"], [b"Transfer-Encoding: chunked", b"Content-Length: 0"]
    ),
    "transfer encoding": _framing(
        *(
            [b"Transfer-Encoding: " + v]
            for v in (b"chunked, identity", b"identity", b"gzip, chunked", b"xchunked", b"Chunked")
        ),
        *(
            [b"Transfer-Encoding: " + v]
            for v in (b"chunked;a=b", b"\x0bchunked", b"chunked, chunked", b'"chunked"', b"", b"gzip")
        ),
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding:\r\n chunked"],
        [b"Transfer-Encoding : chunked"],
        [b"TE: chunked", b"Content-Length: {n}"],
    ),
    "chunks": _chunks,
    "hidden body": _hidden_body,
    "truncated": _truncated,
    "target form": _target_form,
    "encoded": _encoded,
    "bytes in the target": _in_target(
        b"\0", b"\xff", b"\xc0\xaf", b"\xe2\x84\xaa", b" ", b"\t", b"\\", b'"', b"<", b"%", b"%zz", b"%00"
    ),
    "more in the target": _in_target(
        b"%2f", b"%252e%252e", b"%0d%0a", b"//", b"/./", b"/../", b";", b"#", b"?", b"\x7f", b"%ff", b"+"
    ),
    "query": _query(
        b"force=0",
        b"all=0;force=1",
        b"all=1&all=0",
        b"=x",
        b"&&",
        b"force",
        b"%66orce=1",
        b"force=%31",
        b"a+b=c+d",
        b"Force=1",
    ),
    "query escapes": _query(
        b"%",
        b"a=%zz",
        b"force=1%00",
        b":version=1.24",
        b"%3Aversion=1.24",
        b"force=\xff",
        b"a[]=1",
        b"name=a#b",
        b"a=b=c",
    ),
    "version": _version,
    "API version": _api_version,
    "method": _method,
    "connection": _header(
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: close, keep-alive",
        b'Connection: "close"',
        b"Connection: X-Registry-Auth",
        b"Connection: Content-Type, Content-Length",
        b"Connection: Transfer-Encoding",
        b"Connection: Host",
        b"Keep-Alive: timeout=1, max=1",
        b"Proxy-Connection: keep-alive",
        b"Connection: Upgrade",
        b"Connection:",
    ),
    "upgrade": _header(
        b"Upgrade: tcp",
        b"Upgrade: h2c",
        b"Upgrade: websocket\r\nConnection: Upgrade",
        b"Upgrade: tcp\r\nConnection: upgrade",
        b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
        b"Upgrade: ",
    ),
    "expect": _header(
        b"Expect: 100-continue",
        b"Expect: 100-Continue",
        b"Expect: 200-ok",
        b"Expect: 100-continue\r\nExpect: x",
        b"Expect:",
    ),
    "host": _header(
        b"Host: other",
        b"Host:",
        b"host : x",
        b"Host: a b",
        b"Host: a/../b",
        b"Host: \xff",
        b"Host: a@b",
        b"X-Forwarded-Host: e",
    ),
    "headers": _header(
        b"X-Registry-Auth: e30=",
        b"Content-Type: text/plain",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Origin: http://evil.example",
        b"Content-Encoding: gzip",
        b"X-A: \0",
        b"X-A: \x01\x7f",
        b"X-A: \xff\xfe",
        b"Trailer: X",
        b"TE: trailers",
        b"X-HTTP-Method-Override: DELETE",
        b"no colon here",
        b": nothing",
        b"X-A",
        b"\xff: a",
        b"X A: b",
        b"Content-Type: application/json\r\nContent-Type: text/plain",
    ),
    "long": _long,
}
