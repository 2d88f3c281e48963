"""What the kernel's log says of a process that was killed for lack of memory."""

from pathlib import Path

import pytest

from jd.node import kernellog
from jd.node.kernellog import Kill, killed

HOST = 0xEFFFFFFC
LOG = """\
6,338,5140100,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),task_memcg=/job_7,task=python,pid=77,uid=0
3,339,5140900,-;Memory cgroup out of memory: Killed process 77 (python) total-vm:524288kB, anon-rss:65536kB, \
file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:512kB oom_score_adj:0
 SUBSYSTEM=memory
3,340,9000000,c;Out of memory: Killed process 78 (a) b) total-vm:1kB
6,341,notatime,-;Out of memory: Killed process 79 (x) total-vm:1kB
6,342,9000001,-;Killed process 80 (x), which no shortage of anything has caused
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "kmsg"
    path.write_text(LOG)
    return path


def test_it_names_the_process_and_what_it_had(log: Path) -> None:
    assert killed(77, 5.0, log, HOST) == Kill(77, "python", 64 * 1024 * 1024)
    found = killed(78, 9.0, log, HOST)
    assert found is not None and (found.pid, found.memory) == (78, None)


@pytest.mark.parametrize("pid, since, own", [
    (7, 0.0, HOST), (79, 0.0, HOST), (80, 0.0, HOST),
    (77, 60.0, HOST),  # another one of that number, before
    (77, 0.0, 4026532201)])  # of a container, which numbers processes otherwise
def test_it_says_nothing_of_others(log: Path, pid: int, since: float, own: int) -> None:
    assert killed(pid, since, log, own) is None


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert killed(77, 0.0, tmp_path / "none", HOST) is None
    (tmp_path / "odd").write_bytes(bytes(range(256)) * 200)
    assert killed(77, 0.0, tmp_path / "odd", HOST) is None
    assert killed(2 ** 22 + 1, 0.0) is None  # no process has this number, whatever the real log is


def test_a_log_without_end_is_read_to_a_bound(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernellog, "MAX_RECORDS", 0)
    assert killed(77, 5.0, log, HOST) is None
