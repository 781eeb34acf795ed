"""Files of rules: what they say, and that each mistake in one is named with its line."""

import re

import pytest

from swarmlib import Invalid, Json, Meta, Operation, Request, Verb
from swarmlib_backends.dockerapi import table
from swarmlib_backends.policy import document
from swarmlib_backends.policy.grants import KINDS
from tests.support.paths import ROOT

RULE = '[[rule]]\nallow = ["ContainerList"]\n'


def verdict(text: str, operation: Operation, caller: str = "uid:7") -> document.Verdict:
    asked = Operation(operation.verb, operation.path, operation.params, operation.body, Meta(caller=caller))
    row = table.row_of(operation.verb, operation.path, upload=False)
    return document.parse(text, "rules.toml").judge(row, Request.of(asked))


LIST = Operation(Verb.LS, ("containers",))
INSPECT = Operation(Verb.GET, ("containers", "web"))


def create(**host: object) -> Operation:
    return Operation(Verb.SPAWN, ("containers",), body=Json.from_data({"Image": "busybox", "HostConfig": host}))


def test_nothing_is_allowed_but_what_a_rule_allows() -> None:
    assert verdict(RULE, LIST).allowed
    denied = verdict(RULE, INSPECT)
    assert (denied.allowed, denied.advice) == (False, 'allow = ["ContainerInspect"]')
    assert "no rule allows ContainerInspect" in denied.reason


@pytest.mark.parametrize("pattern", ["ContainerList", "Container*", "verb:ls", "family:containers"])
def test_operations_are_selected_by_name_verb_and_family(pattern: str) -> None:
    assert verdict(f'[[rule]]\nallow = ["{pattern}"]\n', LIST).allowed


def test_a_rule_that_denies_is_stronger_than_one_that_allows() -> None:
    text = RULE + '[[rule]]\nname = "not today"\ndeny = ["verb:ls"]\n'
    assert verdict(text, LIST).reason == "rule 'not today' denies ContainerList"


@pytest.mark.parametrize(
    ("client", "caller", "allowed"),
    [
        ("users = [7]", "uid:7", True),
        ("users = 7", "uid:70", False),
        ('certificates = ["ci-*"]', "cert:ci-1", True),
        ('certificates = ["ci-*"]', "uid:ci-1", False),
        ('addresses = ["10.0.0.0/8", "::1"]', "ip:10.1.2.3", True),
        ('addresses = ["10.0.0.0/8"]', "ip:11.1.2.3", False),
        ('addresses = ["0.0.0.0/0"]', "ip:unknown", False),
        ('users = [7]\naddresses = ["::1"]', "ip:::1", True),
        ("users = [7]", "", False),
        ("users = [7]", "tenant:red/uid:7", True),
        ('groups = ["root"]', "uid:0", True),
        ("groups = [0]", "uid:0", True),
        ("groups = [0]", "uid:7", False),
        ('tenants = ["red"]', "tenant:red/uid:7", True),
        ('tenants = ["red"]', "tenant:blue/cert:red", False),
        ('tenants = ["*"]', "cert:red", False),
        (f'tokens = ["{"a" * 64}"]', f"token:{'a' * 64}", True),
        (f'tokens = ["{"a" * 64}"]', f"token:{'b' * 64}", False),
        (f'containers = ["{"a" * 64}"]', f"container:{'a' * 64}", True),
        (f'containers = ["{"a" * 12}"]', f"container:{'a' * 64}", True),
        (f'containers = ["{"a" * 11}"]', f"container:{'a' * 64}", False),
        ("users = [0]", f"container:{'a' * 64}", False),
    ],
)
def test_a_rule_is_about_its_clients_only(client: str, caller: str, allowed: bool) -> None:
    text = f'[clients.them]\n{client}\n[[rule]]\nclients = ["them"]\nallow = ["ContainerList"]\n'
    assert verdict(text, LIST, caller).allowed is allowed


def test_what_would_be_denied_passes_with_a_warning() -> None:
    warned = verdict(f'mode = "warn"\n{RULE}', INSPECT)
    assert warned.allowed
    assert warned.reason


@pytest.mark.parametrize(
    ("limit", "host", "missed"),
    [
        ('memory = "64MiB"', {"Memory": 64 << 20}, ""),
        ('memory = "64MiB"', {"Memory": 65 << 20}, "at most 64MiB of memory"),
        ('memory = "64MiB"', {}, "at most 64MiB of memory"),
        ('memory = "64MiB"', {"Memory": 1 << 20, "MemorySwap": 1 << 30}, "memory and swap"),
        ("cpus = 1.5", {"NanoCpus": 1_500_000_000}, ""),
        ("cpus = 1", {"CpuQuota": 50_000}, ""),
        ("cpus = 1", {"CpuQuota": 50_000, "CpuPeriod": 1_000}, "at most 1 CPUs"),
        ("cpus = 1", {"NanoCpus": 1_000_000_001}, "at most 1 CPUs"),
        ("pids = 10", {"PidsLimit": 10}, ""),
        ("pids = 10", {"PidsLimit": 0}, "at most 10 processes"),
    ],
)
def test_a_container_has_the_limits_that_a_rule_requires(limit: str, host: dict[str, int], missed: str) -> None:
    text = f'[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["busybox"]\n{limit}\n'
    found = verdict(text, create(**host))
    assert (found.allowed, missed in found.reason) == (not missed, True)


@pytest.mark.parametrize(
    ("folder", "demanded", "allowed"),
    [
        ("/srv/ci", "/srv/ci", True),
        ("/srv/ci", "/srv/ci/data", False),
        ("/srv/ci/**", "/srv/ci/data", True),
        ("/srv/ci/**", "/srv/ci", True),
        ("/srv/ci/**", "/srv/ci2", False),
        ("/srv/ci/**", "/srv/ci/../../etc", False),
        ("/srv/ci/**", "//srv/ci/data", False),
    ],
)
def test_folders_are_bound_where_a_rule_says(folder: str, demanded: str, allowed: bool) -> None:
    text = f'[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["busybox"]\nbinds = ["{folder}"]\n'
    assert verdict(text, create(Binds=[f"{demanded}:/data"])).allowed is allowed


def test_what_docker_py_sends_and_no_engine_reads_demands_nothing() -> None:
    assert verdict(RULE, Operation(Verb.LS, ("containers",), {"all": "1", "trunc_cmd": "0"})).allowed
    assert not verdict(RULE, Operation(Verb.LS, ("containers",), {"Trunc_cmd": "0"})).allowed
    body = Json.from_data({"Container": "web", "Cmd": ["true"]})
    run = Operation(Verb.SPAWN, ("containers", "web", "exec"), body=body)
    assert verdict('[[rule]]\nallow = ["ContainerExec"]\n', run).allowed


@pytest.mark.parametrize(
    ("name", "kind", "value"), [("checkpoint-dir", "checkpoints", "/etc"), ("brandnew", "parameters", "brandnew")]
)
def test_a_parameter_that_is_unknown_or_reaches_for_the_host_is_refused(name: str, kind: str, value: str) -> None:
    start = Operation(Verb.START, ("containers", "web"), {name: "/etc", "detachKeys": "ctrl-a"})
    text = '[[rule]]\nallow = ["ContainerStart"]\n'
    assert f"{name} asks for {value!r}, which {kind} of the rule does not list" in verdict(text, start).reason
    assert verdict(f'{text}[rule.container]\n{kind} = ["{value}"]\n', start).allowed


@pytest.mark.parametrize(
    ("ports", "demanded", "allowed"),
    [
        ("8000-8999", {"HostPort": "8080"}, True),
        ("8000-8999", {"HostPort": "8990-9000"}, False),
        ("127.0.0.1:8080", {"HostIp": "127.0.0.1", "HostPort": "8080"}, True),
        ("127.0.0.1:8080", {"HostPort": "8080"}, False),
        ("8080", {"HostPort": ""}, False),
        ("any", {"HostPort": ""}, True),
        ("any", {"HostPort": "22"}, False),
    ],
)
def test_ports_are_published_where_a_rule_says(ports: str, demanded: dict[str, str], allowed: bool) -> None:
    text = f'[[rule]]\nallow = ["ContainerCreate"]\n[rule.container]\nimages = ["busybox"]\nports = ["{ports}"]\n'
    assert verdict(text, create(PortBindings={"80/tcp": [demanded]})).allowed is allowed


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "requires a rule"),
        ("[[rule]\n", 1, "Expected"),
        ("[[rule]]\n", 1, "rule 'rule 1' requires allow or deny"),
        ('[[rule]]\nallow = ["ContanerList"]\n', 2, "did you mean 'ContainerList'?"),
        ('[[rule]]\nallow = ["verb:list"]\n', 2, "unknown operation 'verb:list'"),
        ('[[rule]]\nallow = ["colour:red"]\n', 2, "verb:VERB or family:FAMILY"),
        ("[[rule]]\nallow = 1.5\n", 2, "allow must be a list of texts, not 1.5"),
        (f'{RULE}[[rule]]\nalow = ["x"]\nallow = ["ImageList"]\n', 4, "unknown key 'alow'; did you mean 'allow'?"),
        (f'{RULE}[rule.container]\nmemmory = "1m"\n', 4, "did you mean 'memory'?"),
        (f'{RULE}[rule.container]\nmemory = "lots"\n', 4, "memory: "),
        (f'{RULE}[rule.container]\npids = "10"\n', 4, "pids must be a whole number, not '10'"),
        (f'{RULE}[rule.container]\nbinds = ["data"]\n', 4, "invalid folder 'data': expected an absolute path"),
        (f'{RULE}[rule.container]\nbinds = ["/srv/../etc"]\n', 4, "without '..'"),
        (f'{RULE}[rule.container]\ncapabilities = ["NETADMIN"]\n', 4, "'NETADMIN': did you mean 'NET_ADMIN'?"),
        (f'{RULE}[rule.container]\ncapabilities = ["NIX_*"]\n', 4, "unknown capability 'NIX_*'"),
        (f'{RULE}[rule.container]\ndrop_capabilities = ["NET-RAW"]\n', 4, "did you mean 'NET_RAW'?"),
        (f'{RULE}[rule.container]\nports = ["http"]\n', 4, "invalid port 'http'"),
        (f'{RULE}[rule.container]\nimages = ["Busybox"]\n', 4, "must be lowercase"),
        (f'{RULE}[rule.container]\nbinds = ["${{NOSUCH_FOLDER}}"]\n', 4, "variable NOSUCH_FOLDER is not set"),
        (f'mode = "audit"\n{RULE}', 1, "mode must be 'enforce' or 'warn', not 'audit'"),
        (f"[clients.ci]\n{RULE}", 1, "client 'ci' requires one of certificates, users, groups, addresses"),
        (f'[clients.ci]\ngroups = ["nosuch"]\n{RULE}', 2, "unknown group 'nosuch'"),
        (f'[clients.ci]\ntokens = ["hunter2"]\n{RULE}', 2, "*** has 7 characters: expected the SHA-256 of a token"),
        (f'[clients.ci]\ncontainer_images = ["Busybox"]\n{RULE}', 2, "must be lowercase"),
        (f'[clients.ci]\nusers = ["root"]\n{RULE}', 2, "invalid user 'root'"),
        (f'[clients.ci]\naddresses = ["10.0.0.1/8"]\n{RULE}', 2, "has host bits set"),
        (f'{RULE}clients = ["ci"]\n', 3, "unknown client 'ci': define it as [clients.ci]"),
        (f"{RULE}clients = []\n", 3, "clients must not be empty"),
        (f'{RULE}unjudged = [true]\n', 3, "unjudged must be a list of texts"),
        (f'{RULE}[rule.container]\nread_only = "yes"\n', 4, "read_only must be true or false"),
        (f'{RULE}[rule.container]\nshm = ["lots"]\n', 4, "shm: "),
        ('[[rule]]\nown = "team"\nallow = ["ContainerList"]\n', 2, "invalid owner 'team'"),
        ('[[rule]]\nown = "a=b"\nallow = ["ImageGetAll"]\n', 3, "ImageGetAll can't be confined"),
        ('[[rule]]\nown = "a=b"\nallow = ["ImageBuild"]\n', 3, "can't be confined"),
        ('[[rule]]\nown = "a=b"\nunjudged = ["POST /session"]\n', 1, "Whole can't be confined"),
        (f"{RULE}[more]\n", 3, "unknown key 'more'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text: str, line: int, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(text, "rules.toml")
    assert caught.value.message.startswith(f"rules.toml:{line}: ")
    assert says in caught.value.message


def test_the_guide_has_each_kind_with_an_example_that_reads() -> None:
    found = dict[str, str]()
    for line in (ROOT / "docs" / "policy.md").read_text("utf-8").splitlines():
        if line.startswith("| `"):
            kinds, examples = (re.findall("`([^`]*)`", cell) for cell in line.split(" | ")[:2])
            found |= dict(zip(kinds, [*examples, *examples[-1:] * len(kinds)], strict=False))
    assert found.keys() == KINDS.keys()
    text = "".join(f"{kind} = {example}\n" for kind, example in found.items())
    assert verdict(f"{RULE}[rule.container]\n{text}", LIST).allowed


def test_a_refusal_is_worded_of_little_of_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = list[int]()

    def count(text: str) -> str:
        searched.append(len(text))
        return text

    monkeypatch.setattr(document, "without_credentials", count)
    binds = [f"/{number}{'a' * 10_000}:/x" for number in range(100)]
    assert not verdict('[[rule]]\nallow = ["ContainerCreate"]\n', create(Binds=binds)).allowed
    assert 0 < sum(searched) < 50_000
