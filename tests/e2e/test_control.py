"""Commands that stop, restart, scale, drain and wipe real background workers."""

import json
import os
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from jd.cli.stopping import stop_rows
from jd.node.identity import Here
from jd.worker.local import lastwords, signalling
from jd.worker.local.lastwords import Fate
from jd.worker.local.rows import DRAINING, Row
from tests.e2e.node import Node, can_rename, is_running
from tests.e2e.processes import EXPERIMENT, Server, outbox
from tests.support import wait_until

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
renames = pytest.mark.skipif(not can_rename(), reason="needs a host name of its own (root on Linux)")

# Runs until the file $GO is there; leaves its pid, and that of a child which is hard to end.
WAITS = """
import os, signal, subprocess, sys, time
marks = os.environ["MARKS"]
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"],
        start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
    open(os.path.join(marks, "pid-%d" % child.pid), "w").close()
open(os.path.join(marks, "pid-%d" % os.getpid()), "w").close()
open(os.path.join(marks, "runs-" + os.environ["JD_JOB_ID"]), "w").close()
while not os.path.exists(os.path.join(marks, "go")):
    time.sleep(0.01)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(WAITS)
    return path


@pytest.fixture
def node(tmp_path: Path, marks: Path, shared: Server) -> Iterator[Node]:
    with Node(tmp_path, shared.url, MARKS=marks) as node:
        yield node


def job_pids(marks: Path) -> List[int]:
    return [int(path.name[len("pid-"):]) for path in marks.glob("pid-*")]


def ids(rows: List[Row]) -> List[str]:
    return [row.worker_id for row in rows]


def change(node: Node, worker_id: str, **fields: Any) -> None:
    """Write into the registry what only another host could."""
    with sqlite3.connect(str(node.registry.path)) as db:
        for name, value in fields.items():
            db.execute("UPDATE workers SET %s = ? WHERE worker_id = ?" % name, (value, worker_id))
    db.close()


# ---- stop

def test_four_idle_workers_stop_at_once(node: Node, script: Path) -> None:
    rows = node.start(script, "num_workers=4")
    done = node.exp("stop", "all")  # one that does not leave is killed, and said to be
    assert sorted(done.stdout.splitlines()) == sorted(
        "stopped %s (pid %d)" % (row.worker_id, row.pid) for row in rows)
    assert done.stderr == "" and node.rows() == []
    assert node.exp("stop", "all").stdout == "no worker of exp runs here\n"
    assert node.exp("stop", "all", "json=true").stdout == "[]\n"


def test_stop_by_name(node: Node, script: Path, shared: Server) -> None:
    first, second, third = node.start(script, "num_workers=3")
    for words in (("egg_0",), (first.worker_id, "egg_0"), (), ("all", first.worker_id),
                  ("all", "job=1"), ("all-experiments", first.worker_id)):
        assert node.exp("stop", *words, status=2).stdout == ""
    assert "expId=" in node.cli("stop", "all", status=2).stderr
    assert ids(node.rows()) == ids([first, second, third])
    done = node.exp("stop", third.worker_id, first.worker_id, "json=true")
    told = {entry["worker_id"]: entry for entry in json.loads(done.stdout)}
    assert set(told) == {first.worker_id, third.worker_id}
    assert told[first.worker_id]["outcome"] == "stopped" and told[first.worker_id]["pid"] == first.pid
    assert ids(node.rows()) == [second.worker_id]
    assert "stopped" in node.cli("stop", "all-experiments").stdout
    assert not is_running(second.pid)
    assert node.cli("stop", "all-experiments").stdout == "no worker runs here\n"


def test_stop_by_job_gives_that_job_back_and_no_other(tmp_path: Path, script: Path, marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        node.start(script, "num_workers=2")
        server.create(2)
        wait_until(lambda: len(job_pids(marks)) == 2)
        assert "runs job 9" in node.exp("stop", "job=9", status=1).stderr
        (line,) = node.exp("stop", "job=2").stdout.splitlines()
        assert line.startswith("stopped") and line.endswith("; job 2 goes back to the queue")
        assert len(node.rows()) == 1
        assert server.counts() == {"SERVED": 1, "PENDING": 1}
        (job,) = [job for job in server.jobs() if job["status"] == "PENDING"]
        assert job["id"] == 2 and "stopped by SIGTERM" in json.dumps(job["message"])
        (marks / "go").touch()
        server.until(DONE=2)
        node.exp("stop", "all")
        server.stop()


SAVES_AT_THE_END = """
import os, signal, sys, time
state = os.path.join(os.environ["JD_CHECKPOINT_DIR"], "state")
if os.path.exists(state):
    sys.exit(0)
def save(*_):
    open(state, "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
open(os.path.join(os.environ["MARKS"], "runs"), "w").close()
while True:
    time.sleep(60)
"""


@pytest.mark.parametrize("words", [("stop", "all"), ("restart", "all"), ("scale", "num_workers=1")])
def test_what_a_script_saves_when_it_is_stopped_is_what_it_goes_on_from(
        tmp_path: Path, marks: Path, words: Tuple[str, ...]) -> None:
    """The server is told when the worker has said its last: told first, it refused the last checkpoint."""
    script = tmp_path / "saves.py"
    script.write_text(SAVES_AT_THE_END)
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        node.start(script, "num_workers=2")
        server.create(2)
        busy = wait_until(lambda: [row for row in node.rows() if row.current_job_id])
        wait_until(lambda: (marks / "runs").exists() and server.counts() == {"SERVED": 2})
        wait_until(lambda: len([row for row in node.rows() if row.current_job_id]) == 2)
        done = node.exp(*words)
        count = 1 if words[0] == "scale" else 2
        assert done.stdout.count("goes back to the queue") == count and done.stderr == "" and busy
        if words[0] != "restart":
            node.start(script)
        if words[0] == "scale":
            node.exp("stop", "all")
            node.start(script)
        server.until(DONE=2)
        assert {job["attempt"] for job in server.jobs()} == {2}
        node.exp("stop", "all")
        server.stop()


@linux_only
def test_the_job_of_a_worker_that_had_to_be_killed_comes_back_too(
        tmp_path: Path, script: Path, marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signalling, "patience", lambda row: 0.1)
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        (row,) = node.start(script)
        server.create()
        node.until_row(row.worker_id, current_job_id=1)
        os.kill(row.pid, signal.SIGSTOP)  # it neither stops nor says anything
        (stopped,) = stop_rows(node.rows(), Here(), node.environ, "stop")
        assert stopped.outcome.outcome == signalling.KILLED
        assert stopped.job == Fate(1, lastwords.REQUEUED) and server.counts() == {"PENDING": 1}
        server.stop()


def test_a_server_that_is_away_does_not_keep_workers_from_stopping(tmp_path: Path, script: Path,
                                                                   marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        (row,) = node.start(script)
        server.stop(signal.SIGKILL)
        done = node.exp("stop", "all")
        assert done.stderr.startswith("warning: %s was not told" % server.url)
        assert done.stderr.count("\n") == 1
        assert not is_running(row.pid)


@linux_only
def test_what_ignores_sigterm_is_killed_with_all_it_started(tmp_path: Path, script: Path,
                                                            marks: Path) -> None:
    with Server(tmp_path) as server, Node(
            tmp_path, server.url, MARKS=marks, STUBBORN=1, JD_GRACE=300) as node:
        (row,) = node.start(script)
        server.create()
        wait_until(lambda: len(job_pids(marks)) == 2)
        assert signalling.patience(row) > 300
        os.kill(row.pid, signal.SIGSTOP)  # nor does the worker itself react
        reported: List[signalling.Outcome] = []
        (outcome,) = signalling.stop([row], Here(), node.environ, reported.append, kill_after=0.1)
        assert outcome.outcome == signalling.KILLED and reported == [outcome]
        assert not is_running(row.pid)
        wait_until(lambda: not any(is_running(pid) for pid in job_pids(marks)))
        assert node.rows() == []
        server.stop()


def test_confirmation(node: Node, script: Path) -> None:
    (row,) = node.start(script)
    for words in (("confirm-stop",), ("stop", "all", "confirm-stop=true"), ("stop", "all", "confirm-stop")):
        for typed in ("", "no\n", "all\n"):
            done = node.exp(*words, typed=typed, status=1)
            assert "nothing was stopped" in done.stderr and done.stdout == ""
    assert is_running(row.pid)
    assert "1 worker will be stopped" in node.exp("confirm-stop", typed=EXPERIMENT + "\n").stderr
    assert not is_running(row.pid)
    (row,) = node.start(script)
    node.exp("stop", "all", "confirm-stop=true", typed=EXPERIMENT + "\n")
    assert node.rows() == []


def test_what_runs_on_another_host_is_left_alone(node: Node, script: Path) -> None:
    here, there = node.start(script, "num_workers=2")
    boot = Here().own.boot_id
    change(node, there.worker_id, host="gpunode07", boot_id="that of another machine")
    done = node.exp("stop", "all", status=1)
    assert "%s was not stopped: it runs on host gpunode07; run this there" % there.worker_id in done.stderr
    assert not is_running(here.pid) and is_running(there.pid)
    for words in (("restart", "all"), ("scale", "num_workers=1")):
        assert node.exp(*words, status=1).stderr
    kept = node.cli("clear_all", typed="clear_all\n", status=1)
    assert "exp is kept: 1 worker on gpunode07" in kept.stderr
    assert is_running(there.pid) and ids(node.rows()) == [there.worker_id]
    assert node.exp("drain").stdout.splitlines() == [
        "draining exp: 1 worker reads it in the registry",
        "this one ends by itself, in a few minutes or after its job:", "  " + there.worker_id]
    change(node, there.worker_id, host=here.host, boot_id=boot)
    node.exp("stop", "all")


@renames
def test_a_machine_that_has_another_name_now_keeps_its_workers(tmp_path: Path, script: Path,
                                                               marks: Path) -> None:
    """Boot, pid namespace and start time are what they were: only DHCP or `hostnamectl` said another name."""
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        def at_home() -> List[Row]:
            return node.start(script, "num_workers=2", hostname="home-lan")

        first, second = at_home()
        assert {first.host, second.host} == {"home-lan"}
        assert node.exp("worker-list").stdout.count(" idle ") == 2
        counted = json.loads(node.cli("exp-list", "json=true").stdout)
        assert [(found["workers"], found["elsewhere"]) for found in counted] == [(2, 0)]
        node.exp("scale", "num_workers=3")
        assert sorted(row.slot for row in node.rows()) == [0, 1, 2], "a slot is a share of the devices"
        node.exp("scale", "num_workers=1")
        (left,) = node.rows()
        assert left.worker_id == first.worker_id, "ids are what they were at birth"
        node.exp("restart", "all")
        assert not is_running(first.pid) and len(node.rows()) == 1
        node.exp("stop", "all")
        at_home()
        assert "2 idle workers end now" in node.exp("drain").stdout
        wait_until(lambda: node.rows() == [])
        (dead, _) = at_home()
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(dead.pid))
        assert node.cli("prune").stdout == "removed 1 dead worker\n"
        assert node.exp("stop", "all").stdout.count("stopped") == 1
        assert node.rows() == []
        server.stop()


# ---- workers that died

@pytest.mark.parametrize("words", [("scale", "num_workers=2"), ("restart", "all"), ()])
def test_the_job_of_a_worker_that_died_here_goes_back_at_once(tmp_path: Path, script: Path, marks: Path,
                                                              words: Tuple[str, ...]) -> None:
    """And not when its lease is over: that is ten minutes long."""
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        (dead,) = node.start(script)
        server.create()
        node.until_row(dead.worker_id, current_job_id=1)
        if words:
            node.start(script)
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(dead.pid))
        done = node.exp(*(words or ("entry_script=%s" % script, "server=" + server.url)))
        assert "worker %s had died; job 1 goes back to the queue\n" % dead.worker_id in done.stderr
        (marks / "go").touch()
        server.until(DONE=1)
        assert "had died" not in node.exp("stop", "all").stderr
        server.stop()


def test_a_server_that_is_away_gets_no_workers_but_the_dead_are_told_of(
        tmp_path: Path, script: Path, marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        (dead,) = node.start(script)
        server.create()
        node.until_row(dead.worker_id, current_job_id=1)
        server.stop(signal.SIGKILL)
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(dead.pid))
        done = node.exp("entry_script=%s" % script, "server=" + server.url, status=1)
        assert "worker %s had died; job 1 comes back when its lease is over" % dead.worker_id in done.stderr
        assert "no worker was started" in done.stderr
        assert node.rows() == []


def test_workers_of_a_container_that_is_gone_are_removed_by_its_name(tmp_path: Path, script: Path,
                                                                     marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        (gone,) = node.start(script)
        server.create()
        node.until_row(gone.worker_id, current_job_id=1)
        (alive,) = [row for row in node.start(script) if row.worker_id != gone.worker_id]
        os.kill(gone.pid, signal.SIGKILL)
        change(node, gone.worker_id, host="5d2c5ddbbd43.local", pid_namespace="pid:[1]")
        assert node.cli("prune").stdout == "nothing to remove\n"
        assert "is this machine" in node.cli("prune", "host=" + alive.host, status=2).stderr
        assert "5d2c5ddbbd43.local" in node.cli("prune", "host=another", status=2).stderr
        assert "on 5d2c5ddbbd43 " in node.exp("worker-list").stdout
        done = node.cli("prune", "host=5d2c5ddbbd43")
        assert done.stdout.startswith("removed %s of exp, last heartbeat " % gone.worker_id)
        assert done.stdout.endswith("ago; job 1 goes back to the queue\n")
        assert ids(node.rows()) == [alive.worker_id]
        (marks / "go").touch()
        server.until(DONE=1)
        node.exp("stop", "all")
        server.stop()


# ---- restart, scale, drain

def test_restart_keeps_the_launch(node: Node, script: Path, shared: Server) -> None:
    old = node.start(script, "num_workers=3", "machine_type=gpu", "grace=7", JD_API_KEY="jd_key",
                     JD_SERVER_TOKEN="correct-horse-battery")
    done = node.exp("restart", "all", cwd=node.directory / "marks", JD_MACHINE_TYPE="other")
    new = node.rows()
    assert [row.slot for row in new] == [0, 1, 2]
    assert not set(ids(new)) & set(ids(old)) and len({i.rpartition("_")[0] for i in ids(new)}) == 1
    assert not any(is_running(row.pid) for row in old) and all(is_running(row.pid) for row in new)
    assert [row.config for row in new] == [row.config for row in old]
    assert new[0].config["environ"]["JD_API_KEY"] == "jd_key" and new[0].config["grace"] == 7.0
    assert [row.process_id for row in new] == [0, 1, 2]
    for before, after in zip(old, new):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(after.worker_id)]
        assert line.split() == [after.worker_id, str(after.pid), before.worker_id]
    node.exp("restart", new[1].worker_id)
    again = node.rows()
    assert {new[0].worker_id, new[2].worker_id} < set(ids(again)) and len(again) == 3
    assert sorted(row.slot for row in again) == [0, 1, 2]
    assert "correct-horse" not in done.stdout + done.stderr
    assert "expId=" not in node.exp("restart", status=2).stdout
    script.unlink()
    assert "train.py is gone" in node.exp("restart", "all", status=1).stderr
    assert ids(node.rows()) == ids(again), "what cannot start again was stopped"
    node.exp("stop", "all")
    assert node.exp("restart", "all").stdout == "no worker of exp runs here\n"


def test_scale(tmp_path: Path, script: Path, marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        assert "entry_script=" in node.exp("scale", "num_workers=2", status=1).stderr
        (first,) = node.start(script, "machine_type=gpu")
        assert node.exp("scale", status=2).stdout == ""
        node.exp("scale", "num_workers=4", cwd=marks)
        rows = node.rows()
        stem = first.worker_id.rpartition("_")[0]
        assert ids(rows) == ["%s_%d" % (stem, slot) for slot in range(4)]
        assert rows[0].pid == first.pid
        assert {row.machine_type for row in rows} == {"gpu"}
        assert rows[3].config["directory"] == str(tmp_path) and rows[3].process_id == 3
        assert "nothing to do" in node.exp("scale", "num_workers=4").stdout
        node.exp("stop", rows[1].worker_id)
        server.create()
        busy = wait_until(lambda: [row for row in node.rows() if row.current_job_id])[0]
        node.exp("scale", "num_workers=1")
        assert ids(node.rows()) == [busy.worker_id], "the busy worker stays"
        used = busy.slot
        node.exp("scale", "num_workers=2")
        assert sorted(row.slot for row in node.rows()) == sorted([used, 1 if used == 0 else 0])
        assert server.counts() == {"SERVED": 1}
        (marks / "go").touch()
        server.until(DONE=1)
        node.exp("stop", "all")
        server.stop()


def test_drain_lets_the_running_job_end(tmp_path: Path, script: Path, marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        assert node.exp("drain").stdout == "no worker of exp runs here\n"
        assert not node.registry.draining()
        node.start(script, "num_workers=3")
        server.create()
        busy = wait_until(lambda: [row for row in node.rows() if row.current_job_id])[0]
        done = node.exp("drain")
        assert done.stdout.splitlines() == [
            "draining exp: 2 idle workers end now, 1 busy worker finishes its job first",
            "  %s  job 1" % busy.worker_id]
        wait_until(lambda: len(node.rows()) == 1)
        node.until_row(busy.worker_id, status=DRAINING, current_job_id=1)
        assert node.registry.draining()
        server.create(2)
        (marks / "go").touch()
        wait_until(lambda: node.rows() == [] and not is_running(busy.pid))
        assert server.counts() == {"DONE": 1, "PENDING": 2}
        node.start(script)
        assert not node.registry.draining(), "a launch ends the draining"
        server.until(DONE=3)
        node.exp("stop", "all")
        server.stop()


# ---- clear_all

def test_clear_all(tmp_path: Path, script: Path, marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        assert "nothing to clear" in node.cli("clear_all").stdout
        rows = node.start(script, "num_workers=2")
        server.create()
        wait_until(lambda: [row for row in node.rows() if row.current_job_id])
        cached = tmp_path / "cache" / "outbox" / EXPERIMENT
        cached.mkdir(parents=True, exist_ok=True)
        (cached / "7-1-abcd.json").write_text("{}")
        done = node.cli("clear_all", typed="yes\n", status=1)
        assert "nothing was changed" in done.stderr and "1 result of exp" in done.stderr
        assert str(cached) in done.stderr
        assert all(is_running(row.pid) for row in rows) and (cached / "7-1-abcd.json").exists()
        done = node.cli("clear-all", "confirm-clear-all=true")
        assert "1 result of exp would be LOST" in done.stderr
        assert "cleared 1 experiment" in done.stdout and done.stdout.count("stopped") == 2
        assert not any(is_running(row.pid) for row in rows)
        assert not node.registry.path.parent.exists() and not cached.exists()
        assert "; job 1 goes back to the queue" in done.stdout and server.counts() == {"PENDING": 1}
        assert (tmp_path / "workspace" / "jd_data" / EXPERIMENT).is_dir()
        server.stop()


def test_clear_all_keeps_results_that_wait_where_all_nodes_see_them(tmp_path: Path, script: Path,
                                                                    marks: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks, JD_GRACE=1) as node:
        node.start(script)
        server.create()
        wait_until(lambda: [row for row in node.rows() if row.current_job_id])
        server.stop(signal.SIGKILL)
        done = node.cli("clear_all", typed="clear_all\n")
        place = outbox(tmp_path)
        assert "1 result of exp stay" in done.stdout and str(place) in done.stdout
        assert len(list(place.glob("*.json"))) == 1
        assert node.rows() == [] and not node.registry.path.parent.exists()
