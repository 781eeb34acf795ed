"""swarmlib.sync: the API from threads. Ctrl-C, deadlines, streams, and what happens to what nobody closes."""

import gc
import io
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from swarmlib import Filter, Invalid, Log, NotFound, Request, Server, Set, TimedOut, Unavailable
from swarmlib.client import sync
from swarmlib.grammar import ChainSyntaxError
from tests.support.desk import CLOSING, Desk, python


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def swarm(desk: Desk) -> Iterator[sync.Client]:
    with sync.connect(Filter(), desk) as swarm:
        assert desk.seen() == "open"
        yield swarm


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "swarmlib"]


def test_objects_are_made_and_asked_as_in_the_trio_api(swarm: sync.Client) -> None:
    box = swarm.spawn({"a": 1}, name="box")
    assert (box.id, box.path, box.made) == ("box", ("containers", "box"), {"Id": "box"})
    assert isinstance(box, sync.Workload)
    assert not isinstance(swarm.spawn({"Name": "net"}, "networks"), sync.Workload)
    assert [found.id for found in swarm.ls()] == ["box", "net"]
    assert swarm.workload("box").get() == {"a": 1}
    with pytest.raises(NotFound, match="no other"):
        swarm.workload("other").get()


def test_closing_ends_the_stages_and_the_thread(desk: Desk) -> None:
    swarm = sync.connect(desk)
    assert len(threads()) == 1
    swarm.close()
    assert (desk.seen(), desk.seen(), threads()) == ("open", "closed", [])
    swarm.close()
    with pytest.raises(Unavailable, match="connection is closed"):
        swarm.ls()


def test_what_cant_be_opened_says_why_and_leaves_no_thread() -> None:
    with pytest.raises(ChainSyntaxError, match="unknown backend 'nothing'"):
        sync.connect("nothing")
    with pytest.raises(Invalid, match="needs at least one backend"):
        sync.connect()
    assert threads() == []


def test_many_threads_call_at_once(swarm: sync.Client) -> None:
    def use(number: int) -> str:
        box = swarm.spawn({"number": number}, name=f"box{number}")
        assert box.get() == {"number": number}
        with pytest.raises(NotFound, match=f"no other{number}"):
            swarm.get("containers", f"other{number}")
        return box.id

    with ThreadPoolExecutor(20) as pool:
        assert sorted(pool.map(use, range(100))) == sorted(f"box{number}" for number in range(100))


def interrupted_when(desk: Desk, event: str) -> threading.Thread:
    """Have Ctrl-C come once something has happened at the desk."""

    def interrupt() -> None:
        assert desk.seen() == event
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_ctrl_c_cancels_the_call_in_every_stage_and_leaves_the_rest_usable(swarm: sync.Client, desk: Desk) -> None:
    with swarm.watch() as events:
        assert desk.seen() == "watched"
        interrupting = interrupted_when(desk, "never")
        with pytest.raises(KeyboardInterrupt):
            swarm.get("containers", "never")
        interrupting.join()
        assert desk.seen() == "never ended"
        swarm.spawn(name="box")
        assert next(events).action == "box"


def test_ctrl_c_at_any_moment_leaves_nothing_behind(swarm: sync.Client) -> None:
    """Python raises it between any two instructions of the main thread."""

    async def tasks() -> int:
        await wait_all_tasks_blocked()
        return trio.lowlevel.current_statistics().tasks_living

    swarm.spawn(name="box")
    before = swarm.wait_for(tasks)
    random = Random(1)
    for _ in range(200):
        interrupting = threading.Timer(random.uniform(0, 0.002), os.kill, (os.getpid(), signal.SIGINT))
        with suppress(KeyboardInterrupt):
            interrupting.start()
            while not interrupting.finished.is_set():
                assert len(swarm.ls()) == 1
                with swarm.watch() as events:
                    assert next(events).action == "box"
        with suppress(KeyboardInterrupt):
            interrupting.join()
    assert swarm.wait_for(tasks) == before


def test_a_stream_that_comes_in_the_moment_of_a_cancellation_is_closed(swarm: sync.Client, desk: Desk) -> None:
    closed = threading.Event()

    class Late(trio.abc.AsyncResource):
        async def aclose(self) -> None:
            closed.set()

    async def stubborn() -> Late:
        with suppress(trio.Cancelled):
            await desk.forever("late")
        return Late()

    interrupting = interrupted_when(desk, "late")
    with pytest.raises(KeyboardInterrupt):
        swarm.wait_for(stubborn)
    interrupting.join()
    assert closed.wait(10)


def test_a_deadline_ends_a_call_and_travels_with_it(swarm: sync.Client, desk: Desk) -> None:
    with sync.fail_after(1000), sync.fail_after(100), sync.fail_after(5000):
        assert 90 < swarm.get("deadline") <= 100
    assert swarm.get("deadline") == float("inf")
    with sync.fail_after(0.05), pytest.raises(TimedOut):
        swarm.get("never")
    assert (desk.seen(), desk.seen()) == ("never", "never ended")
    assert swarm.ls() == []


def test_the_deadline_of_a_watch_ends_it_and_what_waits_for_it(swarm: sync.Client, desk: Desk) -> None:
    with sync.fail_after(0.05):
        events = swarm.watch()
    with pytest.raises(TimedOut):
        next(events)
    assert (desk.seen(), desk.seen()) == ("watched", "watched ended")
    with pytest.raises(TimedOut):
        events.close()


def test_a_deadline_that_has_passed_ends_a_call_at_once(swarm: sync.Client) -> None:
    with sync.fail_after(-1), pytest.raises(TimedOut, match="timed out waiting for the answer"):
        swarm.ls()
    with sync.fail_after(float("nan")), pytest.raises(ValueError, match="NaN"):
        swarm.ls()


def test_a_watch_is_an_iterator_that_any_thread_can_close(swarm: sync.Client, desk: Desk) -> None:
    events = swarm.watch()
    assert iter(events) is events
    swarm.spawn(name="box")
    assert next(events).action == "box"
    ending = threading.Timer(0, events.close)
    ending.start()
    with pytest.raises(Unavailable, match="closed"):
        next(events)
    ending.join()
    assert (desk.seen(), desk.seen()) == ("watched", "watched ended")
    events.close()


def test_a_wait_that_is_given_up_does_not_end_the_watch(swarm: sync.Client) -> None:
    with swarm.watch() as events:
        with sync.fail_after(0.05), pytest.raises(TimedOut):
            next(events)
        swarm.spawn(name="box")
        assert next(events).action == "box"


def test_a_watch_that_nobody_refers_to_ends(swarm: sync.Client, desk: Desk) -> None:
    swarm.spawn(name="box")
    for event in swarm.watch():
        assert event.action == "box"
        break
    del event
    gc.collect()
    assert (desk.seen(), desk.seen()) == ("watched", "watched ended")


def test_a_conversation_gives_messages_or_lines_and_the_last_state(swarm: sync.Client) -> None:
    with swarm.attach("box") as conversation:
        assert [reply.kind for reply in conversation] == [Log.kind, Set.kind]
    with swarm.workload("box").attach() as conversation:
        assert [line.text for line in conversation.lines()] == ["a line"]
        assert conversation.state == {"ExitCode": 3}
        conversation.spawn({"b": 1}, name="mine")
        assert swarm.get("mine") == {"b": 1}


def test_a_stream_is_a_file(swarm: sync.Client, desk: Desk) -> None:
    stream = swarm.connect("box")
    assert (stream.readable(), stream.writable(), stream.seekable()) == (True, True, False)
    assert stream.write(b"one\ntwo\nrest") == 12
    assert (stream.readline(), stream.readline(), stream.read1()) == (b"one\n", b"two\n", b"rest")
    stream.write(b"end")
    stream.send_eof()
    assert (stream.read(), stream.read()) == (b"end", b"")
    assert desk.seen() == "echo ended"
    stream.close()
    stream.close()
    for use in (lambda: stream.write(b"x"), stream.read, stream.send_eof):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_closing_a_stream_ends_the_read_that_another_thread_waits_in(swarm: sync.Client) -> None:
    stream = swarm.connect("box")
    begun = threading.Event()

    def read() -> None:
        assert stream.read(1) == b"x"
        begun.set()
        stream.read()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        stream.write(b"x")
        assert begun.wait(10)
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            reading.result(10)


def test_text_can_be_read_from_a_stream(swarm: sync.Client) -> None:
    with swarm.connect("box") as stream:
        stream.write("größe\nend".encode())
        stream.send_eof()
        assert list(io.TextIOWrapper(stream, "utf-8")) == ["größe\n", "end"]


def test_a_stream_that_breaks_raises_an_os_error(swarm: sync.Client) -> None:
    with swarm.connect("broken") as stream:
        stream.write(b"hello")
        assert stream.read() == b""
        with pytest.raises(OSError, match="the stream broke off"):
            stream.write(b"more")


def test_a_stream_that_nobody_refers_to_is_closed(swarm: sync.Client, desk: Desk) -> None:
    stream = swarm.connect("box")
    stream.write(b"x")
    del stream
    gc.collect()
    assert desk.seen() == "echo ended"


def test_files_come_and_go_as_files(swarm: sync.Client) -> None:
    out = swarm.file("box")
    assert out is not None
    with out:
        assert list(out) == [b"first\n", b"second\n"]
        with pytest.raises(io.UnsupportedOperation, match="read-only"):
            out.write(b"x")
    assert swarm.workload("box").file(upload=io.BytesIO(b"a tar")) is None
    assert swarm.get("tar") == "a tar"
    with pytest.raises(Invalid, match="expected a file opened in binary mode"):
        swarm.file("box", upload=io.StringIO("a tar"))  # type: ignore[arg-type]


def test_a_stage_that_fails_is_the_error_of_all_that_goes_on(desk: Desk) -> None:
    swarm = sync.connect(desk)
    events = swarm.watch()
    swarm.start("box")
    ended = threading.Event()
    swarm.held.context.when_ended(ended.set)
    assert ended.wait(10)
    for use in (swarm.ls, swarm.workload("box").get, lambda: next(events)):
        with pytest.raises(Unavailable, match="has ended: the desk broke") as raised:
            use()
        assert isinstance(raised.value.__cause__, NotFound)
    events.close()
    with pytest.raises(NotFound, match="the desk broke"):
        swarm.close()
    assert threads() == []


def test_closing_ends_what_other_threads_wait_for(desk: Desk) -> None:
    swarm = sync.connect(desk)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(swarm.get, "never")
        assert (desk.seen(), desk.seen()) == ("open", "never")
        swarm.close()
        with pytest.raises(Unavailable, match="closed"):
            waiting.result(10)


def test_a_stage_cant_wait_for_its_own_loop() -> None:
    class Itself(Server):
        async def ls(self, request: Request) -> list[str]:
            with pytest.raises(RuntimeError, match="can't be made in the connection's own loop"):
                swarm.get()
            return [str(threading.current_thread() in threads())]

    with sync.connect(Itself()) as swarm:
        assert swarm.ls("things") == ["True"]


def test_a_connection_that_nobody_refers_to_ends_with_a_warning(desk: Desk) -> None:
    swarm = sync.connect(desk)
    box = swarm.spawn(name="box")
    del swarm
    assert box.get() is None  # what was made by it keeps it
    (thread,) = threads()
    with pytest.warns(ResourceWarning, match="was not closed"):  # noqa: PT031
        del box
        gc.collect()
    thread.join(10)
    assert (desk.seen(), desk.seen(), threads()) == ("open", "closed", [])


OPENED = CLOSING + "swarm = sync.connect(Stage())\n"


def test_the_end_of_the_interpreter_closes_what_is_open() -> None:
    assert python(OPENED + "print(swarm.ls())") == "[]\nclosed\n"
    assert python(OPENED + "del swarm", warnings="ignore") == "closed\n"


def test_an_interpreter_that_is_told_to_exit_closes_it_too() -> None:
    assert python(OPENED + "events = swarm.watch\nraise SystemExit") == "closed\n"


def test_a_forked_process_is_told_that_the_connection_is_not_its_own() -> None:
    forked = (
        OPENED
        + """
import os
from swarmlib import Unavailable
if (pid := os.fork()) == 0:
    try:
        swarm.ls()
    except Unavailable as exc:
        print(exc, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(swarm.ls())
"""
    )
    assert python(forked) == "this connection belongs to the process that forked this one\n[]\nclosed\n"


def test_a_wrong_argument_is_the_callers_type_error(swarm: sync.Client) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        swarm.workload("box").kill(nothing=1)  # type: ignore[call-arg]
