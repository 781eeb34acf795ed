"""What a container uses: read of the files of both versions of control groups, and told by the script itself."""

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmlib import BadAnswer
from swarmlib_backends.enginekit.stats import NANO, Sample, shown
from swarmlib_backends.kubernetes.pods import usage
from tests.support.engines import BUSYBOX

MACHINE = """/proc/net/dev:Inter-|   Receive                            |  Transmit
/proc/net/dev: face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
/proc/net/dev:    lo:       9       9    9    9    0     0          0         0        9       9    9    9    0     0
/proc/net/dev:  eth0:     666       7    1    2    0     0          0         0       42       3    4    5    0     0
/proc/stat:cpu  100 3 20 1000 7 0 45 8 0 0
/proc/stat:cpu0 50 1 10 500 3 0 22 4 0 0
/proc/stat:cpu1 50 2 10 500 4 0 23 4 0 0
/proc/meminfo:MemTotal:       1024 kB
"""
FIRST = """/sys/fs/cgroup/memory/memory.usage_in_bytes:5000
/sys/fs/cgroup/memory/memory.max_usage_in_bytes:6000
/sys/fs/cgroup/memory/memory.limit_in_bytes:9223372036854771712
/sys/fs/cgroup/memory/memory.stat:cache 1000
/sys/fs/cgroup/memory/memory.stat:total_inactive_file 2000
/sys/fs/cgroup/cpuacct/cpuacct.usage:3000000000
/sys/fs/cgroup/cpuacct/cpuacct.usage_percpu:1000000000 2000000000 
/sys/fs/cgroup/cpuacct/cpuacct.stat:user 200
/sys/fs/cgroup/cpuacct/cpuacct.stat:system 100
/sys/fs/cgroup/cpu/cpu.stat:nr_periods 4
/sys/fs/cgroup/cpu/cpu.stat:nr_throttled 3
/sys/fs/cgroup/cpu/cpu.stat:throttled_time 12
/sys/fs/cgroup/pids/pids.current:6
/sys/fs/cgroup/pids/pids.max:max
/sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive:8:0 Read 4096
/sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes_recursive:Total 4096
/sys/fs/cgroup/blkio/blkio.throttle.io_serviced_recursive:8:0 Read 1
"""  # noqa: W291 - as the kernel writes it
SECOND = """/sys/fs/cgroup/memory.current:5000
/sys/fs/cgroup/memory.max:65536
/sys/fs/cgroup/memory.stat:inactive_file 2000
/sys/fs/cgroup/cpu.stat:usage_usec 3000000
/sys/fs/cgroup/cpu.stat:user_usec 2000000
/sys/fs/cgroup/cpu.stat:system_usec 1000000
/sys/fs/cgroup/cpu.stat:nr_periods 4
/sys/fs/cgroup/cpu.stat:nr_throttled 3
/sys/fs/cgroup/cpu.stat:throttled_usec 12
/sys/fs/cgroup/pids.current:6
/sys/fs/cgroup/pids.max:100
/sys/fs/cgroup/io.stat:8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0
"""


def test_both_versions_of_control_groups_tell_the_same() -> None:
    first = usage.read((FIRST + MACHINE).encode(), 5.0)
    second = usage.read((SECOND + MACHINE).encode(), 5.0)
    for each in (first, second):
        assert (each.total, each.user, each.kernel) == (3 * NANO, 2 * NANO, NANO)
        assert (each.machine, each.cpus) == (1175 * NANO // 100, 2)
        assert each.memory["usage"] == 5000
        assert each.pids["current"] == 6
        assert {name: value for name, value in each.networks["eth0"].items() if name.startswith("tx")} == {
            "tx_bytes": 42,
            "tx_packets": 3,
            "tx_errors": 4,
            "tx_dropped": 5,
        }
        assert [*each.networks] == ["eth0"]
        (read, *_) = each.blocks["io_service_bytes_recursive"]
        assert (read["major"], read["op"].lower(), read["value"]) == (8, "read", 4096)
    assert (first.each_cpu, second.each_cpu) == ([NANO, 2 * NANO], None)
    assert (first.memory["limit"], second.memory["limit"]) == (1024 * 1024, 65536)
    assert (first.memory["stats"]["total_inactive_file"], second.memory["stats"]["inactive_file"]) == (2000, 2000)
    assert (first.pids, second.pids) == ({"current": 6}, {"current": 6, "limit": 100})
    assert first.throttled == {"periods": 4, "throttled_periods": 3, "throttled_time": 12}
    assert second.throttled["throttled_time"] == 12_000


def test_what_a_container_can_not_see_is_left_out() -> None:
    found = shown("id", "web", Sample(), usage.read(MACHINE.encode(), 5.0))
    assert (found["cpu_stats"]["cpu_usage"]["total_usage"], found["pids_stats"]) == (0, {})
    assert found["memory_stats"] == {"stats": {}, "limit": 1024 * 1024}
    assert found["blkio_stats"]["io_service_bytes_recursive"] == []


@given(st.sampled_from((FIRST + SECOND + MACHINE).splitlines()), st.text("0123456789 :=-.xk"))
def test_what_is_malformed_is_refused_by_one_error(line: str, more: str) -> None:
    with suppress(BadAnswer):
        assert usage.read(f"{line}{more}\n".encode(), 5.0).at == 5.0


def test_the_script_tells_samples_until_its_input_ends() -> None:
    script = usage.SCRIPT.replace(usage.BUSYBOX, str(BUSYBOX))
    words = [BUSYBOX, "sh", "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        block = b""
        while not block.endswith(usage.END):
            block += process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) is not None
    found = usage.read(block.removesuffix(usage.END), 5.0)
    assert found.machine > 0
    assert found.cpus >= 1


@pytest.mark.parametrize("text", ["/proc/stat:cpu x", "/proc/net/dev:eth0: 1 2", "/sys/fs/cgroup/pids.current:-1"])
def test_a_malformed_file_is_named(text: str) -> None:
    with pytest.raises(BadAnswer, match="malformed"):
        usage.read(f"/sys/fs/cgroup/memory.current:1\n{text}\n".encode(), 5.0)
