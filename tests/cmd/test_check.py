"""`swarmd check` finds what `swarmd run` refuses, and says where."""

from pathlib import Path

import pytest

from tests.support.command import invoke

SERVER = "dockerserver unix:///tmp/all.sock"


def marked(error: str) -> str:
    """What the caret of an error marks."""
    _, shown, caret = error.splitlines()
    return shown[caret.index("^") : len(caret)]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("chain", "problem", "mark"),
    [
        ([SERVER, "debug"], "nothing answers behind debug: a stage such as docker must follow it", "debug"),
        ([SERVER], "nothing answers behind dockerserver", "dockerserver"),
        ([SERVER, "retry | timeout"], "nothing answers behind timeout", "timeout"),
        (
            [SERVER, "docker", "debug"],
            "no request gets past docker, which must be the last stage: debug is dead",
            "docker",
        ),
        ([SERVER, "exec | docker"], "no request gets past exec", "exec"),
        (
            [SERVER, "listen unix:///x", "docker"],
            "listen is a source, which takes no requests: it can only stand",
            "listen",
        ),
        ([SERVER, "balance (debug)"], "nothing answers behind debug", "debug"),
        ([SERVER, f"balance ({SERVER} | docker)"], "dockerserver is a source", "dockerserver"),
        ([SERVER, "tee (debug)", "docker"], "nothing answers behind debug", "debug"),
        (["debug", "exec"], "the chain has no source", "debug"),
        ([SERVER, "balance (a=docker) (a=exec)"], "two members are named 'a'", "balance"),
        ([f"{SERVER} --max-connections 0", "docker"], "--max-connections must be 1 or more, not 0", "dockerserver"),
        ([SERVER, "docker --timeout 0"], "--timeout must be above 0", "docker"),
        ([SERVER, "balance --deadline 0s (docker)"], "--deadline must be above 0", "balance"),
        ([SERVER, "docker tcp://a"], "invalid address 'tcp://a': expected ", "docker"),
        ([SERVER, "docker unix:///tmp/../tmp/all.sock"], "leads back to this chain itself", "docker"),
        ([SERVER, "balance (a=docker) (b=debug | docker unix:///tmp/all.sock)"], "leads back to this chain", "docker"),
        (["listen tcp://127.0.0.1:4", "remote tcp://localhost:4"], "leads back to this chain itself", "remote"),
    ],
)
def test_a_chain_that_cannot_work_is_refused(command: str, chain: list[str], problem: str, mark: str) -> None:
    error = invoke(command, *chain, code=2).stderr
    assert problem in error
    assert marked(error) == mark


def test_an_environment_that_leads_back_is_noticed() -> None:
    error = invoke("check", SERVER, "docker", code=2, env={"DOCKER_HOST": "unix:///tmp/all.sock"}).stderr
    assert "docker leads back to this chain itself, which serves unix:///tmp/all.sock" in error


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        (f"{SERVER} --group nosuch | docker", "dockerserver: group 'nosuch' does not exist"),
        (f"{SERVER} tcp://0.0.0.0:1 | docker", "other machines could connect"),
        (f"{SERVER} unix:///tmp/all.sock | docker", "unix:///tmp/all.sock is given more than once"),
        (f"{SERVER} --tls --tlscert /nosuch | docker", "can't read the TLS file /nosuch"),
        (
            "listen tls://127.0.0.1:1 --cert /nosuch --key /nosuch --ca /nosuch | docker",
            "can't read the TLS file /nosuch",
        ),
        (f"{SERVER} | remote tls://a:1 --ca /nosuch", "can't read the TLS file /nosuch"),
        (f"{SERVER} | docker tcp://a:1 --cert-path /nosuch", "can't read the TLS file /nosuch/ca.pem"),
        (f"{SERVER} | policy /nosuch.toml | docker", "policy: /nosuch.toml: No such file or directory"),
        (f"{SERVER} | tenant /nosuch.toml | docker", "tenant: /nosuch.toml: No such file or directory"),
        (f"{SERVER} | balance --watch-file /nosuch", "balance: /nosuch: No such file or directory"),
        (f"{SERVER} | replay /nosuch", "replay: can't read /nosuch: No such file or directory"),
        (f"{SERVER} | record /etc/passwd | docker", "/etc/passwd exists already"),
        (f"{SERVER} | record /nosuch/file | docker", "/nosuch is not a folder"),
        (f"{SERVER} | kubernetes --kubeconfig /nosuch", "/nosuch"),
        (f"{SERVER} | audit /nosuch/log | docker", "can't write /nosuch/log: /nosuch is not a folder"),
        (f"{SERVER} | audit /etc/passwd | docker", "/etc/passwd does not hold the lines of an audit: use another file"),
        (f"{SERVER} | audit /dev/null | docker", "can't write /dev/null: it is not a file"),
        (f"{SERVER} | metrics tcp://0.0.0.0:1 | docker", "metrics: can't listen on tcp://0.0.0.0:1: other machines"),
        (f"{SERVER} | web tcp://0.0.0.0:1 | docker", "web: can't listen on tcp://0.0.0.0:1: other machines"),
        (f"{SERVER} | web tcp://127.0.0.1:1 --token-file /nosuch | docker", "web: can't read the token: "),
        (f"{SERVER} | web tls://127.0.0.1:1 --cert /nosuch --key /nosuch | docker", "can't read the TLS file /nosuch"),
    ],
)
def test_what_a_stage_needs_is_looked_for(stage: str, problem: str) -> None:
    assert problem in invoke("check", stage, code=2).stderr


def test_all_faults_of_a_file_are_reported_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    file.write_text(
        f"""[chain.a]
stages = [
    "{SERVER} --group nosuch",
    {{ backend = "balance", members = [
        "debug | docker --cert-path /nosuch tcp://a:1",
        {{ backend = "docker", address = "tcp://b:1", cert-path = "/nosuch" }},
    ] }},
]
"""
    )
    errors = invoke("check", str(file), code=2).stderr
    assert [line.split(":")[3] for line in errors.splitlines() if "error" in line] == ["3", "5", "6"]


def test_two_chains_cannot_serve_one_address_or_lead_to_each_other(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    chain = '[chain.{}]\nstages = [\n"dockerserver unix://{}",\n"docker unix://{}"]\n'
    file.write_text(chain.format("a", "/a", "/x") + chain.format("b", "/a", "/x"))
    assert f"{file}:7: dockerserver: unix:///a is served by another chain" in invoke("check", str(file), code=2).stderr
    file.write_text(chain.format("a", "/a", "/b") + chain.format("b", "/b", "/a"))
    assert f"{file}:4: docker unix:///b leads back to this chain itself" in invoke("check", str(file), code=2).stderr
    file.write_text(chain.format("a", "/a", "/b") + chain.format("b", "/b", "/c"))
    assert "chain a:" in invoke("check", str(file)).stdout
