"""Worker ids, and telling one process from another."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

import pytest

from jd.node.identity import (
    ProcessIdentity,
    host_slug,
    new_worker_id,
    process_identity,
)
from jd.node.instancewords import WORDS
from jd.workername import WorkerName, split_worker_id


@pytest.mark.parametrize("hostname, slug", [
    ("gpunode", "gpunode"),
    ("GPUnode.cluster.example.org", "gpunode"),
    ("localhost", "localhost"),
    ("localhost.localdomain", "localhost"),
    ("twelvechars1", "twelvechars1"),
    ("node7.", "node7"),
    ("", "host"),
    (".example.org", "host"),
])
def test_a_short_plain_name_stands_as_it_is(hostname: str, slug: str) -> None:
    assert host_slug(hostname) == slug


@pytest.mark.parametrize("hostname", [
    "thirteenchars", "gpu-node-01", "b\u00fcro", "\u8a08\u7b97\u6a5f", "10.0.0.5", "fe80::1%eth0", "a_b",
    "x" * 4000, " ", "-", "host\udcff",
])
def test_a_slug_is_always_up_to_12_letters_and_digits(hostname: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{1,12}", host_slug(hostname))
    assert host_slug(hostname) == host_slug(hostname.upper().lower())


def test_long_names_with_a_common_prefix_stay_distinct() -> None:
    names = ["compute-partition-a-node%04d.cluster" % n for n in range(2000)]
    assert len({host_slug(name) for name in names}) == len(names)


def test_addresses_and_dropped_characters_stay_distinct() -> None:
    names = ["10.0.0.5", "10.0.0.6", "10.0.5.0", "100.0.5.0", "node-1-1", "node-11", "node11", "node_11"]
    assert len({host_slug(name) for name in names}) == len(names)


def test_a_name_without_a_usable_character_still_reads_like_a_host() -> None:
    assert re.fullmatch(r"host[a-z0-9]{5}", host_slug("\u8a08\u7b97\u6a5f"))


def test_the_slug_of_a_name_never_changes() -> None:
    # Rows of the registry and names of log files outlive an upgrade.
    assert host_slug("gpu-node-01") == "gpunodem4z8n"


def test_the_default_is_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.node.identity._hostname", lambda: "Box3.lan")
    assert host_slug() == "box3"


def test_a_new_id_has_host_word_and_slot() -> None:
    parts = split_worker_id(new_worker_id(3, hostname="gpunode"))
    assert parts is not None
    assert (parts.host, parts.slot) == ("gpunode", 3)
    assert parts.instance in WORDS


def test_a_new_id_avoids_words_and_ids_that_are_taken() -> None:
    taken = {"gpunode_%s_0" % word for word in WORDS[:900]} | set(WORDS[900:-1])
    assert new_worker_id(0, taken, hostname="n") == "n_%s_0" % WORDS[-1]


def test_a_token_takes_over_where_every_word_is_taken() -> None:
    worker_id = new_worker_id(1, frozenset(WORDS), random.Random(5), hostname="n")
    assert re.fullmatch(r"n_[a-z0-9]{6}_1", worker_id)


def test_two_new_ids_differ_most_of_the_time() -> None:
    assert len({new_worker_id(0, hostname="n") for _ in range(20)}) > 10


@pytest.mark.parametrize("worker_id, parts", [
    ("gpunode_egg_0", WorkerName("gpunode", "egg", 0)),
    ("gpunode_B3x9Zq_12", WorkerName("gpunode", "B3x9Zq", 12)),
    ("my_node-1.x_table_3", WorkerName("my_node-1.x", "table", 3)),
    # Published clients since 1.28 have tokens of ten characters.
    ("gpunode_Ab3xY9Kq2Z_12", WorkerName("gpunode", "Ab3xY9Kq2Z", 12)),
    ("ip-10-0-0-12.ec2_0123456789_1234", WorkerName("ip-10-0-0-12.ec2", "0123456789", 1234)),
    ("n" * 180 + "_Ab3xY9Kq2Z_0", WorkerName("n" * 180, "Ab3xY9Kq2Z", 0)),
    ("gpunode_Ab3xY9Kq2Zabc_0", None),
    ("gpunode_B3x9_0", None),
    ("gpunode_egg", None),
    ("_egg_0", None),
    ("gpunode_egg_-1", None),
    ("gpunode_egg_0\n", None),
    ("gpunode_egg_\u0661", None),
    ("", None),
])
def test_ids_are_split(worker_id: str, parts: Optional[WorkerName]) -> None:
    assert split_worker_id(worker_id) == parts


# ---- processes

STAT = "%d (%s) %s 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 3133440 383\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot-1\n")
    write_stat(tmp_path, 42, start=1000)
    return tmp_path


def write_stat(proc: Path, pid: int, name: str = "python3", state: str = "S", start: int = 1000) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(STAT % (pid, name, state, start))


def test_a_process_is_boot_pid_and_start(proc: Path) -> None:
    assert process_identity(42, proc) == ProcessIdentity("boot-1", 42, "1000")


def test_a_name_with_spaces_and_parentheses_does_not_shift_the_fields(proc: Path) -> None:
    write_stat(proc, 42, name="a) S 1 (b", start=77)
    assert process_identity(42, proc) == ProcessIdentity("boot-1", 42, "77")


def test_a_reused_pid_is_another_process(proc: Path) -> None:
    known = process_identity(42, proc)
    write_stat(proc, 42, start=2000)
    assert None not in (known, process_identity(42, proc)) and process_identity(42, proc) != known


def test_after_a_reboot_it_is_another_process(proc: Path) -> None:
    known = process_identity(42, proc)
    (proc / "sys/kernel/random/boot_id").write_text("boot-2\n")
    assert None not in (known, process_identity(42, proc)) and process_identity(42, proc) != known


def test_a_boot_time_stands_in_for_a_hidden_boot_id(proc: Path) -> None:
    (proc / "sys/kernel/random/boot_id").unlink()
    (proc / "stat").write_text("cpu 1 2 3 4\nbtime 1700000000\n")
    assert process_identity(42, proc) == ProcessIdentity("btime 1700000000", 42, "1000")


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_zombie_is_not_running(proc: Path, state: str) -> None:
    assert process_identity(42, proc) is not None
    write_stat(proc, 42, state=state)
    assert process_identity(42, proc) is None


@pytest.mark.parametrize("pid", [43, 0, -1])
def test_there_may_be_no_such_process(proc: Path, pid: int) -> None:
    assert process_identity(pid, proc) is None


def test_a_broken_stat_file_is_no_process(proc: Path) -> None:
    (proc / "42/stat").write_text("42 (x) S 1")
    assert process_identity(42, proc) is None


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc here")
def test_a_real_child_lives_turns_zombie_and_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        known = process_identity(child.pid)
        assert known is not None and process_identity(child.pid) == known
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_identity(child.pid) is None
    finally:
        child.kill()
        child.wait()
    assert process_identity(child.pid) is None


def test_this_process_is_running() -> None:
    known = process_identity()
    assert known is not None and known.pid == os.getpid()
    assert process_identity(os.getpid()) == known


def test_ps_is_asked_where_there_is_no_proc(tmp_path: Path) -> None:
    said = {"ps": "Ss   Mon Jul  1 10:00:00 2024\n", "sysctl": "11AA-22BB\n"}
    asked = []

    def run(command: Sequence[str]) -> str:
        asked.append(list(command))
        return said[command[0]]

    known = process_identity(9, tmp_path, run)
    assert known == ProcessIdentity("11AA-22BB", 9, "Mon Jul 1 10:00:00 2024")
    assert asked[0] == ["ps", "-o", "stat=,lstart=", "-p", "9"]
    said["ps"] = "Z    Mon Jul  1 10:00:00 2024\n"
    assert process_identity(9, tmp_path, run) is None
    said["ps"] = ""
    assert process_identity(9, tmp_path, run) is None
