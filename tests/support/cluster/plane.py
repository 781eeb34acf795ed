"""The control plane of a cluster: etcd, the API's server, the controllers, the scheduler and the DNS."""

import json
import secrets
import sys
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from swarmlib_backends import certificates
from tests.support.cluster.api import Api
from tests.support.cluster.networks import Switch, inside, lead
from tests.support.cluster.processes import Program
from tests.support.engines import free_port, wait_until

_PORT, _ETCD = 6443, 2379
_START_SECONDS = 180
"""How long it may take: a machine that builds something else at the same time is slow."""
_GROUPS = {"admin": "system:masters", "nobody": "", "system:kube-controller-manager": "", "system:kube-scheduler": "",
           "system:kube-proxy": ""}  # fmt: skip
"""The users with their groups; what the groups and names may do is Kubernetes' own. `nobody` may do nothing."""


class ControlPlane:
    """A control plane that runs until `stack` ends. Its programs are in `programs`, its files in `folder`."""

    def __init__(self, folder: Path, programs: Path, nodes: list[str], stack: ExitStack) -> None:
        self.folder, self.programs = folder, programs
        self.switch = Switch()
        stack.callback(self.switch.host.end)
        self._stack = stack
        groups = _GROUPS | {f"system:node:{node}": "system:nodes" for node in nodes}
        self._tokens = {user: secrets.token_hex(16) for user in groups}
        (folder / "tokens").write_text(
            "".join(f'{self._tokens[user]},{user},{user},"{group}"\n' for user, group in groups.items())
        )
        self._write_certificates()
        self._port = free_port()
        lead(self._port, self.switch.host.pid, (Switch.ADDRESS, _PORT))

    def _write_certificates(self) -> None:
        authority = certificates.authority("cluster")
        services = [Switch.FIRST_SERVICE, "kubernetes.default.svc.cluster.local", "kubernetes.default.svc"]
        server = certificates.server(authority, ["127.0.0.1", "localhost", Switch.ADDRESS, *services, "kubernetes"])
        self._authority = authority.pem.decode()
        (self.folder / "ca.crt").write_bytes(authority.pem)
        (self.folder / "server.crt").write_bytes(server.pem)
        (self.folder / "server.key").write_bytes(server.key_pem)
        accounts = certificates.authority("accounts")
        (self.folder / "accounts.crt").write_bytes(accounts.pem)
        (self.folder / "accounts.key").write_bytes(accounts.key_pem)

    def kubeconfig(self, user: str, *, outside: bool = False) -> Path:
        """The kubeconfig of a user, from within the cluster's network or from outside."""
        server = f"https://127.0.0.1:{self._port}" if outside else f"https://{Switch.ADDRESS}:{_PORT}"
        path = self.folder / f"{user.replace(':', '-')}{'-outside' if outside else ''}.kubeconfig"
        path.write_text(json.dumps(self._kubeconfig(user, server)))  # YAML holds JSON
        return path

    def _kubeconfig(self, user: str, server: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "main",
            "clusters": [
                {"name": "main", "cluster": {"server": server, "certificate-authority": f"{self.folder}/ca.crt"}}
            ],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": "main", "context": {"cluster": "main", "user": user, "namespace": "default"}}],
        }

    def run(self, name: str, *command: str | Path) -> Program:
        """Run a program in the control plane's network, until the stack ends."""
        program = Program(self.folder / "log" / name, [*self.switch.host.prefix, *command])
        self._stack.callback(program.end)
        return program

    def start(self) -> Api:
        """Start it, and return its API once that is ready."""
        urls = f"http://127.0.0.1:{_ETCD}"
        etcd = [
            "--listen-client-urls",
            urls,
            "--advertise-client-urls",
            urls,
            "--listen-peer-urls",
            "http://127.0.0.1:0",
        ]
        self.run("etcd", "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", *etcd)
        server = self.run("apiserver", self.programs / "kube-apiserver", *self._server_flags())
        api = Api(self.kubeconfig("admin", outside=True))
        wait_until(lambda: _is_ready(api), "kube-apiserver", server.process, _START_SECONDS)
        self._run_others()
        return api

    def _server_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{_ETCD}",
            f"--secure-port={_PORT}",
            f"--advertise-address={Switch.ADDRESS}",
            f"--service-cluster-ip-range={Switch.SERVICES}",
            f"--tls-cert-file={self.folder}/server.crt",
            f"--tls-private-key-file={self.folder}/server.key",
            f"--token-auth-file={self.folder}/tokens",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/accounts.crt",
            f"--service-account-signing-key-file={self.folder}/accounts.key",
            # A Pod leaves a node that is gone after this, in place of five minutes.
            "--default-not-ready-toleration-seconds=10",
            "--default-unreachable-toleration-seconds=10",
        ]

    def _run_others(self) -> None:
        alone = ["--leader-elect=false", "--port=0", "--secure-port=0"]
        controllers = self.kubeconfig("system:kube-controller-manager")
        accounts = [
            f"--service-account-private-key-file={self.folder}/accounts.key",
            "--use-service-account-credentials",
        ]
        self.run("controller-manager", self.programs / "kube-controller-manager", f"--kubeconfig={controllers}",
                 f"--root-ca-file={self.folder}/ca.crt", *accounts, *alone)  # fmt: skip
        scheduler = self.kubeconfig("system:kube-scheduler")
        self.run("scheduler", self.programs / "kube-scheduler", f"--kubeconfig={scheduler}", *alone)
        admin = self.kubeconfig("admin")
        self.run("dns", sys.executable, "-m", "tests.support.cluster.dns", admin, Switch.ADDRESS)

    def compact(self) -> None:
        """Let etcd forget all versions but the present ones."""

        def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
            client.request("POST", path, json.dumps(body))
            answer: dict[str, Any] = json.loads(client.getresponse().read())
            return answer

        client = HTTPConnection("127.0.0.1", _ETCD, timeout=30)
        inside(self.switch.host.pid, client.connect)
        try:
            revision = ask("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
            assert "error" not in ask("/v3/kv/compaction", {"revision": revision, "physical": True})
        finally:
            client.close()


def _is_ready(api: Api) -> bool:
    try:
        return api.ask("GET", "/readyz")[0] == 200
    except OSError:
        return False
