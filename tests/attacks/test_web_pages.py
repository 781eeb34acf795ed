"""A web page is a client: what a browser sends for a page of another origin, or to a name that was moved to this
machine, reaches no stage."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.engines import Swarmd, docker, swarmd, wait_until

JSON_BODY = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server() -> Iterator[Swarmd]:
    with swarmd("simulator --containers 2", listen="--allow-host gateway.example") as running:
        yield running


def ask(
    server: Swarmd, method: str, target: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client:
        client.putrequest(method, target, skip_host="Host" in headers)
        for name, value in headers.items():
            client.putheader(name, value)
        if body is not None:
            client.putheader("Content-Length", str(len(body)))
        client.endheaders(body)
        response = client.getresponse()
        text = response.read().decode()
        return response.status, json.loads(text).get("message", "") if text.startswith("{") else text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", "file://"]
)
@pytest.mark.parametrize("target", ["/_ping", "/containers/json", "/containers/x/attach/ws", "/nonesuch"])
def test_a_page_of_another_origin_is_refused(server: Swarmd, origin: str, target: str) -> None:
    status, message = ask(server, "GET", target, {"Origin": origin})
    assert (status, "Origin is not this server" in message) == (403, True)


def test_a_page_of_this_origin_is_served(server: Swarmd) -> None:
    assert ask(server, "GET", "/_ping", {"Origin": f"http://127.0.0.1:{server.port}"})[0] == 200


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_a_browser_tells_which_site_a_request_is_from(server: Swarmd, site: str, status: int) -> None:
    assert ask(server, "GET", "/_ping", {"Sec-Fetch-Site": site})[0] == status


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:2375", "127.0.0.1.evil.example", "localhost.evil", "", "x"]
)
def test_a_name_that_is_not_this_servers_is_refused(server: Swarmd, host: str) -> None:
    status, message = ask(server, "GET", "/_ping", {"Host": host})
    assert status == 403
    assert "Host must be an IP address, localhost, 127.0.0.1, gateway.example" in message


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:2375", "10.1.2.3", "[::1]:2375", "[::1]", "Gateway.Example:80"]
)
def test_a_name_that_is_this_servers_is_served(server: Swarmd, host: str) -> None:
    assert ask(server, "GET", "/_ping", {"Host": host}) == (200, "OK")


def test_a_request_names_one_host(server: Swarmd) -> None:
    for lines in (b"", b"Host: localhost\r\nhost: localhost\r\n"):
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as client:
            client.connect()
            client.sock.sendall(b"GET /_ping HTTP/1.1\r\n" + lines + b"\r\n")
            assert client.sock.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; a=application/json", "application/jsonp", ""])
def test_a_json_body_must_say_that_it_is_one(server: Swarmd, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    status, message = ask(server, "POST", "/containers/create", headers, b'{"Image":"busybox"}')
    assert (status, message) == (400, f"Content-Type specified ({kind}) must be 'application/json'")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_body_that_says_so_is_taken(server: Swarmd, kind: str) -> None:
    assert ask(server, "POST", "/volumes/create", {"Content-Type": kind}, b'{"Name":"data"}')[0] == 201


@pytest.mark.parametrize("kind", [FORM, FORM.upper(), f" {FORM} ;charset=utf-8", "Multipart/Form-Data; boundary=x"])
@pytest.mark.parametrize(
    "target", ["/containers/prune?filters={}", "/images/create?fromImage=x", "/build", "/images/load", "/nonesuch"]
)
def test_a_form_is_refused_everywhere(server: Swarmd, kind: str, target: str) -> None:
    status, message = ask(server, "POST", target, {"Content-Type": kind}, b"filters=%7B%7D")
    assert (status, "a form as body is not supported" in message) == (400, True)


def test_a_body_that_an_operation_does_not_take(server: Swarmd) -> None:
    assert ask(server, "POST", "/containers/simulated-1/pause", {"Content-Type": "text/plain"}, b"x=1")[0] == 400
    status, message = ask(server, "POST", "/containers/x/start", JSON_BODY, b'{"Privileged":true}')
    assert (status, "removed in v1.24" in message) == (400, True)
    for body in (b"", b"{}", b"null"):
        status, message = ask(server, "POST", "/containers/x/start", JSON_BODY, body)
        assert (status, message) == (404, "No such container: x")


@pytest.mark.engine
def test_the_docker_cli_is_served_by_every_address(tmp_path: Path) -> None:
    with swarmd("simulator --containers 2", listen=f"unix://{tmp_path}/s") as running:
        for host in (running.host, f"tcp://localhost:{running.port}", f"unix://{tmp_path}/s"):
            assert docker(host, "ps", "-q", check=True).stdout.count(b"\n") == 2
            assert docker(host, "volume", "create", "data", check=True).stdout == b"data\n"


PAGE = """<!doctype html><title>evil</title><body><script>
const target = "http://127.0.0.1:%d";
const body = JSON.stringify({Image: "busybox", Cmd: ["touch", "%s"]});
const tries = [
  fetch(target + "/containers/create?name=page", {method: "POST", mode: "no-cors", body}),
  fetch(target + "/containers/create?name=page", {method: "POST", mode: "cors", body,
        headers: {"Content-Type": "application/json"}}),
  fetch(target + "/containers/page/start", {method: "POST", mode: "no-cors"}),
  fetch(target + "/containers/json", {mode: "no-cors"}),
  new Promise(done => {
    const socket = new WebSocket("ws://127.0.0.1:%d/containers/page/attach/ws?stream=1");
    socket.onopen = () => done("open"); socket.onerror = () => done("refused"); }),
];
const form = document.createElement("form");
form.method = "post"; form.enctype = "text/plain"; form.action = target + "/containers/create?name=form";
form.target = "frame";
const field = document.createElement("input");
field.name = '{"Image":"busybox","a":"'; field.value = '"}'; form.append(field); document.body.append(form);
const frame = document.createElement("iframe");
frame.name = "frame"; document.body.append(frame);
tries.push(new Promise(done => { frame.onload = () => done("answered"); form.submit(); }));
Promise.allSettled(tries).then(results =>
  fetch("/done", {method: "POST", body: JSON.stringify(results.map(each => each.value || each.status))}));
</script></body>"""


class _Page(BaseHTTPRequestHandler):
    """A page on another port, and where it says that it is done."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.said.append(json.loads(said))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def page(text: str) -> Iterator[ThreadingHTTPServer]:
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    web.page, web.said = text.encode(), []  # type: ignore[attr-defined]
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield web
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


@pytest.mark.engine
def test_a_page_in_a_real_browser_starts_nothing(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    assert browser is not None, "this test needs chromium, as .ci/setup installs it"
    canary = tmp_path / "canary"
    with swarmd("debug", "exec") as running, page(PAGE % (running.port, canary, running.port)) as web:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += ["--no-first-run", f"--user-data-dir={tmp_path}/profile", "--remote-debugging-port=0"]
        address = f"http://127.0.0.1:{web.server_address[1]}/"
        with subprocess.Popen([*command, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: web.said, "the page", process)  # type: ignore[attr-defined]
            finally:
                process.kill()
        assert web.said[0][-2:] == ["refused", "answered"]  # type: ignore[attr-defined]
        assert docker(running.host, "ps", "-aq", check=True).stdout == b""
        assert not canary.exists()
        reached = running.log.read_text()
    assert "spawn" not in reached
    assert "start containers" not in reached
