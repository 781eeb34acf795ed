"""The launcher: the program that starts the processes of one `exec` stage, and that they don't outlive.

`exec` runs it as `python -I -S launcher.py FD`, with an empty environment. It imports nothing but the standard library
and has one thread, so that it may fork and run Python between fork and exec, which swarmd (with its threads) must not.

FD is a SOCK_SEQPACKET socket. The launcher first sends how it keeps a process tree together, NAMESPACES or SUBREAPER.
A request is one byte with these file descriptors:

    request     a file with a JSON object, see `Request`
    status      a SOCK_SEQPACKET socket, on which the answers go
    0, 1, 2     what the process gets as stdin, stdout and stderr
    options     only where the request `announces`: the process finds it as its descriptor 4

For each process there is a *holder*, a fork of the launcher. It answers on `status` first with the text
`HOLDER PID OUTCOME` (two process ids, as swarmd sees them; OUTCOME is empty, or the JSON of a `Failure`), and when the
process has ended with its exit code, 128 + n where signal n ended it. The socket closes without an exit code if the
holder was killed.

The tree: with NAMESPACES the holder is the init of a pid namespace, so the kernel ends all that is in there with it.
With SUBREAPER (neither privileges nor user namespaces) orphans become the holder's children, and it kills them itself.
SIGTERM tells a holder to kill its process. When swarmd ends, however it ends, FD closes and the launcher ends; when the
launcher ends, the kernel signals the holders.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
import termios
import traceback
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn, TypedDict

NAMESPACES: Final = "namespaces"
SUBREAPER: Final = "subreaper"
ANNOUNCED: Final = "."
"""What a process that `announces` writes to its descriptor 3 when it stands."""

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
_MS_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_MS_REC_SLAVE: Final = 0x4000 | 0x80000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_READ: Final = 4096
_MAX_FDS: Final = 6
_ANNOUNCEMENTS: Final = 3
_OPTIONS: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


class Request(TypedDict):
    """A process to start."""

    words: list[str]
    env: dict[str, str]
    folder: str
    user: int | None
    """The user, or None for swarmd's own with its groups; then `group` and `groups` don't matter."""
    group: int
    groups: list[int]
    no_new_privileges: bool
    terminal: bool
    """Whether stdin becomes the controlling terminal."""
    announces: bool
    """Whether `words` write ANNOUNCED to descriptor 3 when what they start stands."""
    files: tuple[int, int]
    """RLIMIT_NOFILE, soft and hard."""
    join: int
    """The holder of the process whose namespaces it enters, or 0 for new ones."""


class Failure(TypedDict):
    """Why a process could not be started: what was being done, and the errno."""

    step: str
    errno: int


def _call(name: str, *args: Any) -> None:
    if getattr(_libc, name)(*args) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Launcher:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._control.setblocking(True)
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        """The /proc in which process ids are those that swarmd sees."""
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self._namespaces = self._can_unshare() or self._enter_user_namespace()
        self._alive, self._living = os.pipe()
        """A pipe that is at its end when the launcher has ended, as only the launcher keeps the other end."""

    def serve(self) -> None:
        """Start what is requested until swarmd has ended."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the holders
        self._control.send((NAMESPACES if self._namespaces else SUBREAPER).encode())
        while True:
            asked, fds, _, _ = socket.recv_fds(self._control, 1, _MAX_FDS)
            if not asked:
                return
            for fd in fds:
                os.set_inheritable(fd, False)  # no program gets what it is not given in its place
            with suppress(OSError):  # a request that came incomplete: swarmd sees that its status closes
                self._take(fds)
            for fd in fds:
                os.close(fd)

    def _take(self, fds: list[int]) -> None:
        try:
            with open(fds[0], encoding="utf-8", closefd=False) as file:
                request: Request = json.load(file)
            self._fork(request, fds)
        except OSError as exc:
            _answer(fds[1], f"0 0 {_failure('fork', exc)}")

    def _fork(self, request: Request, fds: list[int]) -> None:
        """Fork a holder, in the pid namespace that is its process's."""
        if self._namespaces:
            self._choose_namespace(request["join"])
        try:
            if os.fork() == 0:
                self._hold(request, fds)
        finally:
            if self._namespaces:
                _call("setns", self._own, _CLONE_NEWPID)

    def _choose_namespace(self, join: int) -> None:
        if not join:
            _call("unshare", _CLONE_NEWPID)
            return
        namespace = os.open(f"{join}/ns/pid", os.O_RDONLY, dir_fd=self._proc)
        try:
            _call("setns", namespace, _CLONE_NEWPID)
        finally:
            os.close(namespace)

    # In the holder.

    def _hold(self, request: Request, fds: list[int]) -> NoReturn:
        try:
            self._start(request, fds)
        except OSError as exc:
            _answer(fds[1], f"0 0 {_failure('namespace', exc)}")
        except BaseException:
            traceback.print_exc()  # a fork ends here, so nobody else shows it
            raise
        finally:
            os._exit(0)

    def _start(self, request: Request, fds: list[int]) -> None:
        holder = self._process_id()
        self._end_with_the_launcher()
        self._enter_namespaces(request["join"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            self._become(request, fds[2:], tell)
        signal.signal(signal.SIGTERM, partial(_on_signal, child))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for fd in (tell, fds[0], *fds[2:]):
            os.close(fd)
        if not _answer(fds[1], f"{holder} {_told(told)}"):
            _kill(child)  # whoever asked for it has gone
        code = os.waitstatus_to_exitcode(_wait(child))
        _kill_children()
        _answer(fds[1], str(128 - code if code < 0 else code))

    def _end_with_the_launcher(self) -> None:
        os.close(self._living)
        os.close(self._control.detach())
        if self._namespaces:
            _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        else:
            _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            _call("prctl", _PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        poll = select.poll()  # select(2) takes no descriptor above 1023
        poll.register(self._alive, select.POLLIN)
        if poll.poll(0):
            os._exit(0)  # the launcher ended before the kernel knew that this process ends with it

    def _enter_namespaces(self, join: int) -> None:
        if not self._namespaces:
            return
        if join:
            namespace = os.open(f"{join}/ns/mnt", os.O_RDONLY, dir_fd=self._proc)
            _call("setns", namespace, _CLONE_NEWNS)
            os.close(namespace)
        else:
            _private_proc()

    def _process_id(self) -> int:
        """Return this process's id as swarmd sees it."""
        return int(os.readlink("self", dir_fd=self._proc))

    # In the process to be.

    def _become(self, request: Request, stdio: list[int], tell: int) -> NoReturn:
        """Turn into the program, or tell why not."""
        step = "prepare"
        try:
            os.write(tell, f"{self._process_id()} ".encode())
            os.setsid()
            if request["terminal"]:
                fcntl.ioctl(stdio[0], termios.TIOCSCTTY, 0)
            _reset(request["files"])
            _own_streams(request["user"], stdio[:3])
            step = "user"
            _take_credentials(request)
            step = "folder"
            os.chdir(request["folder"].encode())
            step = "program"
            _place(stdio, tell if request["announces"] else None)
            environment = {name.encode(): value.encode() for name, value in request["env"].items()}
            words = [word.encode() for word in request["words"]]
            os.execvpe(words[0], words, environment)
        except OSError as exc:
            os.write(tell, _failure(step, exc).encode())
        except BaseException:
            traceback.print_exc()  # a fork ends here, so nobody else shows it
            raise
        finally:
            os._exit(127)

    # What this machine lets it do.

    def _can_unshare(self) -> bool:
        """Try, in a child, all that a holder does in namespaces."""
        try:
            _call("unshare", _CLONE_NEWPID)
        except OSError:
            return False
        try:
            child = os.fork()
            if child == 0:
                _try_private_proc()
            return os.waitpid(child, 0)[1] == 0
        finally:
            _call("setns", self._own, _CLONE_NEWPID)

    def _enter_user_namespace(self) -> bool:
        """Get the privileges for namespaces from one of users, in which the own id is what it was; go on in its child.

        The child is in a pid namespace that belongs to it: to that one it may return, to the machine's it may not.
        """
        ids = {
            "setgroups": "deny",
            "uid_map": f"{os.geteuid()} {os.geteuid()} 1",
            "gid_map": f"{os.getegid()} {os.getegid()} 1",
        }
        try:
            _call("unshare", _CLONE_NEWUSER | _CLONE_NEWPID)
            for name, text in ids.items():
                with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                    file.write(text)
        except OSError:
            return False
        if child := os.fork():
            self._control.close()
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 255)
        os.close(self._own)
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        return self._can_unshare()


def _try_private_proc() -> NoReturn:
    try:
        _private_proc()
        os._exit(0)
    finally:
        os._exit(1)


def _private_proc() -> None:
    """Enter a mount namespace with a /proc of this pid namespace; the machine's mounts still come and go in it."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", None, b"/", None, _MS_REC_SLAVE, None)
    _call("mount", b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC, None)


def _answer(status: int, text: str) -> bool:
    """Send an answer; return whether somebody still waits for it."""
    with socket.socket(fileno=os.dup(status)) as connection:
        try:
            connection.setblocking(True)
            connection.send(text.encode())
        except OSError:
            return False
    return True


def _on_signal(child: int, _number: int, _frame: object) -> None:
    _kill(child)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _told(told: int) -> str:
    """Return what the process to be tells: its id, and how its start went. It ends with its exec, or is announced."""
    said = b""
    while data := os.read(told, _READ):
        said += data
        if said.endswith(ANNOUNCED.encode()):
            break
    os.close(told)
    return said.decode()


def _wait(child: int) -> int:
    """Reap every child that ends, until this one has; gives its wait status."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _kill_children() -> None:
    """Kill all children, among them the orphans that came to this process, until there are none."""
    path = f"/proc/self/task/{os.getpid()}/children"
    with suppress(ChildProcessError, FileNotFoundError):
        while True:
            with open(path, encoding="utf-8") as file:
                for pid in file.read().split():
                    _kill(int(pid))
            os.waitpid(-1, 0)


def _failure(step: str, exc: OSError) -> str:
    return json.dumps(Failure(step=step, errno=exc.errno or 0))


def _reset(files: tuple[int, int]) -> None:
    """Undo what a process inherits from swarmd and from Python: signals, umask, limits, keys."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:  # a handler ends with the exec anyway
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    if join := _KEYCTL.get(os.uname().machine):
        _libc.syscall(join, _KEYCTL_JOIN_SESSION_KEYRING, None)  # fails only where the kernel has no keys


def _own_streams(user: int | None, stdio: list[int]) -> None:
    """Give pipes and terminals to the user, who may want to open /dev/stderr again; never a device file."""
    for fd in stdio if user is not None else ():
        if os.isatty(fd) or not os.path.samestat(os.fstat(fd), os.stat(os.devnull)):
            os.fchown(fd, user or 0, -1)


def _take_credentials(request: Request) -> None:
    if request["user"] is not None:
        os.setgroups(request["groups"])
        os.setresgid(request["group"], request["group"], request["group"])
        os.setresuid(request["user"], request["user"], request["user"])
    if request["no_new_privileges"]:
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _place(stdio: list[int], announcements: int | None) -> None:
    """Put the descriptors where the program expects them. All others close with the exec."""
    kept = stdio if announcements is None else [*stdio[:3], announcements, *stdio[3:]]
    apart = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(kept)) for fd in kept]  # none is in another's place
    for place, fd in enumerate(apart):
        os.dup2(fd, place)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # swarmd has ended already
        _Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
