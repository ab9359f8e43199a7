import subprocess
import sys
from pathlib import Path

import pytest

from model.ram import available_memory

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path) -> Path:
    """The files of a Linux on which 16 GiB of 32 are available."""
    write(tmp_path / "proc/meminfo", f"MemTotal: {32 << 20} kB\nMemFree: {1 << 20} kB\nMemAvailable: {16 << 20} kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group(folder: Path, most: str, used: int, cached: int = 0) -> None:
    """A control group of version 2; `cached` bytes of what it uses are pages of files."""
    write(folder / "memory.max", f"{most}\n")
    write(folder / "memory.current", f"{used}\n")
    write(folder / "memory.stat", f"anon {used - cached}\nfile {cached}\ninactive_file {cached}\nactive_file 0\n")


def test_without_a_limit_it_is_what_the_machine_has(machine):
    write(machine / "proc/self/cgroup", "0::/user.slice\n")
    group(machine / "sys/fs/cgroup/user.slice", "max", 3 * GIB)

    assert available_memory(machine) == 16 * GIB


def test_a_container_has_what_its_limit_leaves(machine):
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine / "sys/fs/cgroup", str(8 * GIB), 3 * GIB)

    assert available_memory(machine) == 5 * GIB


def test_the_tightest_of_the_groups_around_the_process_counts(machine):
    write(machine / "proc/self/cgroup", "0::/jobs/one\n")
    group(machine / "sys/fs/cgroup/jobs/one", str(12 * GIB), GIB)
    group(machine / "sys/fs/cgroup/jobs", str(10 * GIB), 8 * GIB)

    assert available_memory(machine) == 2 * GIB


def test_a_limit_wider_than_the_machine_changes_nothing(machine):
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine / "sys/fs/cgroup", str(64 * GIB), GIB)

    assert available_memory(machine) == 16 * GIB


def test_pages_of_files_are_given_up_before_memory_is_refused(machine):
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine / "sys/fs/cgroup", str(8 * GIB), 8 * GIB, cached=6 * GIB)

    assert available_memory(machine) == 6 * GIB


def test_control_groups_of_version_1_count_too_also_where_their_path_is_the_hosts(machine):
    write(machine / "proc/self/cgroup", "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n0::/docker/a\n")
    top = machine / "sys/fs/cgroup/memory"
    write(top / "memory.limit_in_bytes", f"{8 * GIB}\n")
    write(top / "memory.usage_in_bytes", f"{4 * GIB}\n")
    write(top / "memory.stat", f"total_cache 0\ntotal_inactive_file {GIB}\ntotal_active_file {GIB}\n")

    assert available_memory(machine) == 6 * GIB


def test_it_is_never_less_than_nothing(machine):
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine / "sys/fs/cgroup", str(2 * GIB), 3 * GIB)

    assert available_memory(machine) == 0


def test_a_system_without_these_files_has_all_its_memory(tmp_path):
    assert available_memory(tmp_path) > 100 << 20


def test_this_machine_has_less_available_than_it_has():
    assert 0 < available_memory() <= available_memory(Path("/nowhere"))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_large_block_that_was_freed_is_used_again_and_at_the_end_given_back():
    blocks = """
import resource
from pathlib import Path
from model.ram import keeping_blocks

pages = 64 * 2**20 // resource.getpagesize()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        bytearray(pages * resource.getpagesize())[:: resource.getpagesize()] = bytes([1]) * pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

before, plainly = resident(), faults()
with keeping_blocks():
    kept = faults()
    during = resident()
print(kept / plainly, (during - before) / pages, (resident() - before) / pages)
"""
    # In a process of its own: what a longer one freed before would be given back here too.
    said = subprocess.run([sys.executable, "-c", blocks], capture_output=True, text=True, check=True).stdout
    faults, during, after = map(float, said.split())

    assert faults < 1 / 4
    assert during > 1 / 2
    assert after < 1 / 4


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_a_servers_threads_have_decoded_goes_back_to_the_system():
    threads = """
import sys, threading
from pathlib import Path
from model.ram import give_back_pictures

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

if sys.argv[1] == "yes":
    give_back_pictures()
before, all_at_once = resident(), threading.Barrier(16)

def decode():
    for size in (20, 24, 20):
        all_at_once.wait()
        bytearray(size << 20)  # a small one after it keeps a heap from shrinking
        kept.append(bytearray(10_000))

kept = []
running = [threading.Thread(target=decode) for _ in range(16)]
[each.start() for each in running]
[each.join() for each in running]
print((resident() - before) * 4096 >> 20)
"""
    left = {
        asked: int(subprocess.run([sys.executable, "-c", threads, asked], capture_output=True, text=True).stdout)
        for asked in ("no", "yes")
    }

    assert left["yes"] < 16
    assert left["yes"] < left["no"] / 4
