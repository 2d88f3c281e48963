"""Results on disk."""

import errno
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Optional

import pytest

from jd.files import filesystems, wholefile
from jd.messages import Result
from jd.node.identity import Here
from jd.worker.local import outboxes
from jd.worker.local.outboxes import MAX_ENTRY_BYTES
from jd.worker.uplink import outbox
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.holding import HELD_FOR, Holder
from jd.worker.uplink.outbox import Entry, Outbox, in_directory
from jd.worker.uplink.waitingfiles import WaitingFiles
from tests.support import ROOT

RESULT = Result(5, "ABORTED", "exit status 1\nü\x00", 2, "failed", 1, 12.345678901234567, "tail 🚀")


def box(tmp_path: Path, log: Any = print) -> Outbox:
    return Outbox(in_directory(tmp_path / "box"), log)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    entry = box(tmp_path).put(RESULT, "http://s", "data-1", "w_0")
    assert entry.path is not None and entry.path.stat().st_mode & 0o777 == 0o600
    assert box(tmp_path).waiting("http://other", "data-1") == [entry]
    assert entry.result.to_json() == RESULT.to_json()


def test_entries_belong_to_their_servers_data(tmp_path: Path) -> None:
    box(tmp_path).put(RESULT, "http://s", "data-1", "w_0")
    base = box(tmp_path).put(RESULT, "http://s", None, "w_0")
    assert box(tmp_path).waiting("http://s", "data-2") == [base]
    assert box(tmp_path).waiting("http://other", None) == []


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    times = iter([10.0, 20.0, 30.0])
    ordered = Outbox(in_directory(tmp_path / "box"), print, lambda: next(times))
    for job_id in (3, 1, 2):
        ordered.put(Result(job_id, "DONE"), "http://s", None, "w_0")
    assert [e.result.job_id for e in ordered.waiting("http://s", None)] == [3, 1, 2]


def test_a_verdict_that_an_earlier_version_wrote_into_the_text_is_taken_out(tmp_path: Path) -> None:
    given_back = Result(5, "ABORTED", "the worker was stopped", 1, "preempted")
    for message in ("preempted: the worker was stopped", "the worker was stopped"):
        entry = box(tmp_path).put(replace(given_back, message=message), "http://s", None, "w_0")
        (found,) = box(tmp_path).waiting("http://s", None)
        assert found.result == given_back
        box(tmp_path).remove(entry)
    failed = box(tmp_path).put(replace(given_back, verdict="failed", message="preempted: so it says"),
                               "http://s", None, "w_0")
    assert box(tmp_path).waiting("http://s", None) == [failed]


def test_what_the_disk_would_not_remove_goes_when_it_does(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one when the worker leaves: the next worker may be long in coming, or come elsewhere."""
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    entries = [kept.put(RESULT, "http://s", None, "w_0") for _ in range(3)]

    def refuse(path: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        for entry in entries[:2]:
            kept.remove(entry)
    assert len(kept.waiting("http://s", None)) == 3
    assert len(logged) == 2 and "cannot remove %s: Read-only" % entries[0].path in logged[0]
    kept.remove(entries[2])
    assert kept.waiting("http://s", None) == []

    last = kept.put(RESULT, "http://s", None, "w_0")
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        kept.remove(last)
    assert Delivery(kept, Link("http://s", "w_0", "cpu", dict), logged.append).leave() == []
    assert kept.waiting("http://s", None) == []


def test_removing_twice_is_no_error(tmp_path: Path) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    entry = kept.put(RESULT, "http://s", None, "w_0")
    kept.remove(entry)
    kept.remove(entry)
    assert os.listdir(str(tmp_path / "box")) == []
    assert logged == []


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff", b"{}", b'{"result": {}}', b"[" * 100_000,
    json.dumps({"result": {"job_id": 1, "status": "MAYBE"}, "server": "s", "worker_id": "w",
                "written": 1}).encode(),
    json.dumps({"result": {"job_id": 1, "status": "DONE"}, "server": "http://s", "worker_id": "w",
                "written": 1}).encode() + b" " * MAX_ENTRY_BYTES,
    json.dumps({"result": {"job_id": 1, "status": "DONE"}, "server": "http://s", "worker_id": "w",
                "written": 1, "files": "\0.files"}).encode(),
    json.dumps({"result": {"job_id": 1, "status": "DONE"}, "server": "http://s", "worker_id": "w",
                "written": 1, "files": "\ud800.files"}).encode(),
], ids=["empty", "torn", "list", "binary", "no-fields", "no-result", "deep", "unknown-status", "huge",
        "nul-in-a-name", "half-a-pair-in-a-name"])
def test_a_corrupt_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    good = kept.put(RESULT, "http://s", None, "w_0")
    (tmp_path / "box" / "1-1-aaaa.json").write_bytes(content)
    assert kept.waiting("http://s", None) == [good]
    assert (tmp_path / "box" / "1-1-aaaa.json.bad").read_bytes() == content
    assert len(logged) == 1
    assert kept.waiting("http://s", None) == [good]
    assert len(logged) == 1


def test_a_full_disk_keeps_the_result_in_memory(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    logged: List[str] = []
    kept = box(tmp_path, logged.append)

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    entry = kept.put(RESULT, "http://s", None, "w_0")
    assert entry.path is None
    assert entry.result == RESULT
    assert "No space left" in logged[0]
    assert os.listdir(str(tmp_path / "box")) == []
    kept.remove(entry)


def test_a_directory_that_cannot_be_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("a file")
    logged: List[str] = []
    kept = box(tmp_path, logged.append)
    assert kept.put(RESULT, "http://s", None, "w_0").path is None
    assert kept.waiting("http://s", None) == []
    assert len(logged) == 2


# ---- places that outlast an allocation, and who delivers

class Node:
    """A machine of a cluster: a cache of its own, a home that all share."""

    def __init__(self, tmp_path: Path, name: str, here: Optional[Here] = None) -> None:
        self.logged: List[str] = []
        (tmp_path / "home").mkdir(exist_ok=True)
        self.environ = {"HOME": str(tmp_path / "home"), "JD_CACHE_PATH": str(tmp_path / name)}
        self.near = outboxes.near("e", self.environ)
        (self.lasting,) = outboxes.lasting("e", self.environ)
        self.here = here if here is not None else machine(name)
        self.box = self.new_box()

    def new_box(self) -> Outbox:
        return Outbox(self.near, self.logged.append, lasting=[self.lasting],
                      beside=outboxes.beside("e", self.environ), holder=Holder(self.here))

    def put(self, files: bool = False) -> Entry:
        waiting = WaitingFiles.new(self.near.path, 5, 2)
        if files:
            waiting.add("/upload", "a.csv", io.BytesIO(b"content"))
        return self.box.put(RESULT, "http://s", "data-1", "w_0", waiting.path if files else None)

    def waiting(self) -> List[Entry]:
        return self.box.waiting("http://s", "data-1")


def machine(name: str) -> Here:
    """Another one than this."""
    here = Here(name)
    here.own = here.own._replace(boot_id=name)
    return here


def names(directory: Path) -> List[str]:
    return sorted(os.listdir(str(directory)))


@pytest.mark.parametrize("other_file_system", [False, True])
def test_a_result_that_is_secured_is_found_on_any_node(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_file_system: bool) -> None:
    if other_file_system:
        def link(source: str, target: str) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        monkeypatch.setattr(os, "link", link)
    first, second = Node(tmp_path, "first"), Node(tmp_path, "second")
    entry = first.put(files=True)
    secured = first.box.secure(entry)
    assert names(first.near.path) == [] and first.box.is_lasting(secured)
    assert stat.S_IMODE(first.lasting.path.stat().st_mode) == 0o700
    assert first.box.secure(secured) is secured
    assert second.waiting() == [], "its holder is alive, as far as anybody can tell"
    first.box.release(secured)
    (found,) = second.waiting()
    assert found.result == RESULT and found.waiting_files is not None
    (item,) = WaitingFiles(found.waiting_files).items()
    assert item.path.read_bytes() == b"content"
    second.box.remove(found)
    assert names(second.lasting.path) == []


def test_one_delivers_a_result(tmp_path: Path) -> None:
    nodes = [Node(tmp_path, name) for name in ("first", "second")]
    nodes[0].box.release(nodes[0].box.secure(nodes[0].put()))
    found = [node.waiting()[0] for node in nodes]
    claimed = nodes[1].box.claim(found[1])
    assert claimed is not None
    assert nodes[0].box.claim(found[0]) is None and nodes[0].waiting() == []
    again = nodes[1].box.claim(claimed)  # as if NFS had lost the answer
    assert again == claimed
    nodes[1].box.release(claimed)
    assert len(nodes[0].waiting()) == 1


def test_what_a_dead_worker_held_is_free(tmp_path: Path) -> None:
    """On its machine at once; elsewhere once nothing was heard of it for a while."""
    here, ended = Here(), Here()
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.own = here.own._replace(pid=process.pid, start_time="1")
    process.wait()
    dead, alive = Node(tmp_path, "node", ended), Node(tmp_path, "node", here)
    entry = dead.box.secure(dead.put())
    assert [found.path for found in alive.waiting()] == [entry.path]
    elsewhere = Node(tmp_path, "elsewhere")
    assert elsewhere.waiting() == [] and elsewhere.box.others_hold
    assert entry.path is not None
    past = time.time() - HELD_FOR - 1.0
    os.utime(str(entry.path), (past, past))
    assert [found.path for found in elsewhere.waiting()] == [entry.path] and not elsewhere.box.others_hold
    dead.box.keep_hold([entry])
    assert elsewhere.waiting() == []
    mine = alive.box.secure(alive.put())
    assert mine.path not in [found.path for found in alive.new_box().waiting("http://s", "data-1")]


def test_what_dead_workers_left_near_is_secured_by_those_that_live(tmp_path: Path) -> None:
    here, ended = Here(), Here()
    ended.own = here.own._replace(start_time="1")
    dead, alive = Node(tmp_path, "node", ended), Node(tmp_path, "node", here)
    dead.put(files=True)
    own = alive.put()
    alive.box.secure_rest([own])
    assert names(alive.near.path) == [own.path.name if own.path else ""]
    assert [name.count("@") for name in names(alive.lasting.path)] == [0, 0]  # the files, and free


def test_what_is_moved_at_this_moment_is_not_delivered(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    here, ended = Here(), Here()
    ended.own = here.own._replace(start_time="1")
    dead, alive = Node(tmp_path, "node", ended), Node(tmp_path, "node", here)
    dead.put(files=True)
    backlog = alive.box.waiting("http://s", "data-1")
    claimed: List[Optional[Entry]] = []
    copy_to = WaitingFiles.copy_to

    def meanwhile(files: WaitingFiles, outbox: Path) -> Path:
        claimed.append(alive.box.claim(backlog[0]))  # as the loop does
        assert alive.box.waiting("http://s", "data-1") == [] and alive.box.others_hold  # so it looks again
        return copy_to(files, outbox)
    monkeypatch.setattr(WaitingFiles, "copy_to", meanwhile)
    alive.box.secure_rest([])
    assert claimed == [None] and alive.box.claim(backlog[0]) is None
    found = alive.box.waiting("http://s", "data-1")
    assert len(found) == 1 and alive.box.claim(found[0]) is not None


@pytest.mark.parametrize("reason", ["no home", "a file", "read-only", "full", "quota of files"])
def test_where_there_is_no_lasting_place_it_stays_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      reason: str) -> None:
    node = Node(tmp_path, "node")
    entry = node.put(files=True)
    if reason == "no home":
        (tmp_path / "home").rmdir()
    elif reason == "a file":
        node.lasting.path.parent.parent.write_text("")
    elif reason == "read-only":
        def refused(path: str, mode: int = 0o777) -> None:
            raise OSError(errno.EROFS, "Read-only file system")
        monkeypatch.setattr(os, "mkdir", refused)
    elif reason == "full":
        def full(fd: int) -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr("jd.worker.uplink.outbox.MAX_FILES_BYTES", 6)
    assert node.box.secure(entry) is entry and entry.path is not None and entry.path.exists()
    assert entry.waiting_files is not None and len(WaitingFiles(entry.waiting_files).items()) == 1
    node.box.secure(entry)
    assert len(node.logged) == (0 if reason == "no home" else 1)
    left = list(tmp_path.glob("home/.jd/outbox/e/*.json*"))
    assert left == []


@pytest.mark.parametrize("ends", [None, "overlay, which ends with this container"])
def test_the_last_words_say_where_a_result_waits_and_what_it_is_on(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: Optional[str]) -> None:
    monkeypatch.setattr(filesystems, "passing", lambda path: ends)
    node = Node(tmp_path, "node")
    delivery = Delivery(node.box, Link("http://s", "w_0", "cpu", dict), node.logged.append)
    delivery.hold(RESULT)
    said = str(delivery.leave())
    (name,) = names(node.lasting.path)
    assert "the result of job 5 waits in %s; any worker" % (node.lasting.path / name) in said
    assert ("it is on overlay, which ends with this container: without it the job runs again" in said) is (
        ends is not None)


def test_a_crash_while_it_is_secured_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, "node")
    entry = node.put(files=True)
    rename = os.rename
    for crash_at in ("the files", "the result", "removal"):
        def renamed(source: str, target: str, *more: Any, at: str = crash_at) -> None:
            if at == "the files":
                raise KeyboardInterrupt
            rename(source, target, *more)

        def crash(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt
        with monkeypatch.context() as patched:
            patched.setattr(os, "rename", renamed)
            if crash_at == "the result":
                patched.setattr(os, "replace", crash)
            if crash_at == "removal":
                patched.setattr(Outbox, "remove", crash)
            with pytest.raises(KeyboardInterrupt):
                node.box.secure(entry)
        for place in (node.near, node.lasting):
            for name in place.names():
                files = json.loads((place.path / name).read_text())["files"]
                assert WaitingFiles(place.path / files).items()
        assert len(node.near.names()) == 1
    assert len(node.lasting.names()) == 1  # in both: it is delivered twice, the second time for nothing


def test_no_more_are_read_in_one_go_than_a_loop_can_wait_for(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.worker.uplink.outbox.MAX_ENTRIES", 2)
    kept = box(tmp_path)
    for _ in range(3):
        kept.put(RESULT, "http://s", None, "w_0")
    assert len(kept.waiting("http://s", None)) == 2 and kept.has_more
    kept.remove(kept.waiting("http://s", None)[0])
    assert len(kept.waiting("http://s", None)) == 2 and not kept.has_more


def test_results_of_other_servers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, "node")
    node.box.release(node.put())
    assert node.box.waiting("http://s", "data-2") == []
    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "_read", None)
        assert node.box.waiting("http://s", "data-2") == []
    assert len(node.waiting()) == 1


def test_where_all_nodes_share_a_directory_it_comes_before_the_home(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "JD_ACCESS_DIR": str(tmp_path / "shared")}
    first, second = outboxes.lasting("e", environ)
    assert (first.path, second.path) == (tmp_path / "shared/outbox/e", tmp_path / ".jd/outbox/e")
    assert not first.is_possible and second.is_possible
    del environ["JD_ACCESS_DIR"]
    assert [place.path for place in outboxes.lasting("e", environ)] == [second.path]


def test_a_place_that_has_gone_is_made_again(tmp_path: Path) -> None:
    kept = box(tmp_path)
    kept.remove(kept.put(RESULT, "http://s", None, "w_0"))
    (tmp_path / "box").rmdir()
    assert kept.put(RESULT, "http://s", None, "w_0").path is not None


SYNCS = """
import sys
from pathlib import Path
from jd.messages import Result
from jd.worker.uplink.outbox import Outbox, in_directory
box = Outbox(in_directory(Path(sys.argv[1])), print)
box.sync(box.put(Result(5, "DONE"), "http://s", None, "w_0"))
"""


@pytest.mark.parametrize("point", ["outbox.sync.before-fsync", "outbox.sync.after-fsync"])
def test_a_worker_that_is_killed_while_it_syncs_a_result_leaves_it(tmp_path: Path, point: str) -> None:
    killed = subprocess.run([sys.executable, "-c", SYNCS, str(tmp_path / "box")], timeout=60,
                            env=dict(os.environ, JD_KILL_POINT=point, PYTHONPATH=str(ROOT)))
    assert killed.returncode == -signal.SIGKILL
    assert [entry.result for entry in box(tmp_path).waiting("http://s", None)] == [Result(5, "DONE")]


CLAIMS_AND_RELEASES = """
import sys
from pathlib import Path
from jd.node.identity import Here
from jd.messages import Result
from jd.worker.uplink.holding import Holder
from jd.worker.uplink.outbox import Outbox, in_directory
box = Outbox(in_directory(Path(sys.argv[1])), print, holder=Holder(Here()))
(entry,) = box.waiting("http://s", None)
box.release(box.claim(entry))
"""


@pytest.mark.parametrize("point", ["outbox.claim.before-rename", "outbox.claim.after-rename",
                                   "outbox.release.before-rename", "outbox.release.after-rename"])
def test_a_worker_that_is_killed_while_it_takes_a_result_or_gives_it_back_keeps_it_from_nobody(
        tmp_path: Path, point: str) -> None:
    box(tmp_path).put(RESULT, "http://s", None, "w_0")
    killed = subprocess.run([sys.executable, "-c", CLAIMS_AND_RELEASES, str(tmp_path / "box")], timeout=60,
                            env=dict(os.environ, JD_KILL_POINT=point, PYTHONPATH=str(ROOT)))
    assert killed.returncode == -signal.SIGKILL
    others = Outbox(in_directory(tmp_path / "box"), print, holder=Holder(Here()))
    (entry,) = others.waiting("http://s", None)
    assert entry.result.to_json() == RESULT.to_json() and others.claim(entry) is not None


# ---- files of results that are over

def test_the_next_result_goes_into_the_file_of_one_that_is_over(tmp_path: Path) -> None:
    node = Node(tmp_path, "first")
    over = node.put()
    assert over.path is not None
    inode = over.path.stat().st_ino
    node.box.remove(over)
    assert node.box.left() == {} and node.new_box().waiting("http://s", "data-1") == []
    entry = node.box.put(Result(6, "DONE"), "http://s", "data-1", "w_0")  # a shorter one
    assert entry.path is not None and entry.path.stat().st_ino == inode
    assert names(node.near.path) == [entry.path.name]
    node.box.release(entry)
    another = Outbox(node.near, print, holder=Holder(machine("another")))
    (found,) = another.waiting("http://s", "data-1")
    assert found.result == Result(6, "DONE")


def test_a_worker_that_ends_leaves_no_such_file_nor_is_a_large_one_kept(tmp_path: Path) -> None:
    node = Node(tmp_path, "first")
    large = node.box.put(replace(RESULT, output_tail="x" * outbox.SPARE_BYTES), "http://s", "data-1", "w_0")
    node.box.remove(large)
    assert names(node.near.path) == []
    kept = [node.put() for _ in range(outbox.MAX_SPARE + 2)]
    for entry in kept:
        node.box.remove(entry)
    assert len(names(node.near.path)) == outbox.MAX_SPARE
    node.box.leave()
    assert names(node.near.path) == []


def test_where_such_a_file_is_gone_or_refused_the_result_gets_a_new_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, "first")
    for entry in [node.put(), node.put()]:
        node.box.remove(entry)
    gone, refused = node.near.path.iterdir()
    (gone if node.box._spare[-1][0] == str(gone) else refused).unlink()
    assert node.put().path is not None

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(wholefile, "write_over", refuse)
    entry = node.put()
    assert entry.path is not None and len(names(node.near.path)) == 3 and not node.logged
    node.box.remove(entry)
    assert [name.startswith(".") for name in names(node.near.path)] == [True, False]


LEAVES_ONE_THAT_IS_OVER = """
import os, signal, sys
from pathlib import Path
from jd.messages import Result
from jd.node.identity import Here
from jd.worker.uplink.holding import Holder
from jd.worker.uplink.outbox import Outbox, in_directory
box = Outbox(in_directory(Path(sys.argv[1])), print, holder=Holder(Here()))
box.remove(box.put(Result(5, "DONE"), "http://s", None, "w_0"))
print(os.listdir(sys.argv[1]), flush=True)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_worker_kept_for_its_next_results_goes_with_the_next_worker(tmp_path: Path) -> None:
    others = Outbox(in_directory(tmp_path / "box"), print, holder=Holder(Here()))
    with subprocess.Popen([sys.executable, "-c", LEAVES_ONE_THAT_IS_OVER, str(tmp_path / "box")],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=dict(os.environ, PYTHONPATH=str(ROOT))) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        assert worker.stdout.readline().startswith(b"['.5-0-")
        assert others.waiting("http://s", None) == [] and len(names(tmp_path / "box")) == 1  # it lives
        worker.stdin.close()
        assert worker.wait(60) == -signal.SIGKILL
    assert others.waiting("http://s", None) == [] and names(tmp_path / "box") == []
