"""worker-list, worker-status, exp-list, exp-status: what the registry tells, and to whom."""

import os
from pathlib import Path
from typing import Optional

import pytest

from jd.cli.showing import views
from jd.errors import UsageError
from jd.node.identity import Here
from jd.worker.local import outboxes
from jd.worker.local.liveness import Life
from jd.worker.local.registry import Registry
from tests.cli.info_support import EXPERIMENT, Machine, gone, other_host


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def printed(machine: Machine, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert machine.run(*words) == 0
    caught = capsys.readouterr()
    assert caught.err == ""
    return str(caught.out)


def test_a_list_shows_id_pid_status_job_and_ages(machine: Machine,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    name = machine.enter("busy", 42, age=130, ping_age=7)
    header, row = printed(machine, capsys, "expId=exp", "worker-list").splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "JOB", "UPTIME", "HEARTBEAT"]
    assert row.split() == [name, str(os.getpid()), "busy", "42", "2m", "10s", "7s", "ago"]


def test_a_dead_worker_is_not_listed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("busy", 1, here=gone())
    assert machine.facts(capsys, "expId=exp", "worker-list") == []
    assert machine.facts(capsys, "expId=exp", "exp-status")["workers"] == 0
    assert machine.facts(capsys, "exp-list")[0]["busy"] == 0


def test_a_worker_of_another_host_is_there_and_not_judged(machine: Machine,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("busy", 1)
    far = machine.enter("busy", 2, here=other_host())
    lines = printed(machine, capsys, "expId=exp", "worker-list").splitlines()
    assert lines[0].endswith("HOST")
    (line,) = [line for line in lines if line.startswith(far)]
    assert "on node17 " in line and "busy" not in line and line.endswith("node17.cluster.example.org")
    found = {row["worker_id"]: row["life"]
             for row in machine.facts(capsys, "expId=exp", "worker-list")}
    assert found[far] == "elsewhere" and sorted(found.values()) == ["alive", "elsewhere"]


def test_another_container_of_this_host_is_told_apart(machine: Machine,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    inside = gone()
    inside.pid_namespace = "pid:[1]"
    machine.enter("busy", 1, here=inside)
    assert "in another container" in printed(machine, capsys, "expId=exp", "worker-list")


def test_an_empty_list_says_how_to_start(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expId=exp entry_script=<path>" in printed(machine, capsys, "expId=exp", "worker-list")
    assert "entry_script=<path>" in printed(machine, capsys, "exp-list")
    assert not machine.registry.path.parent.exists()


def test_keys_of_a_worker_for_programs(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    name = machine.enter("idle", age=50, ping_age=None, slot=3,
                         config={"server": "http://user:geheim@h:1", "machine_type": "gpu"})
    (row,) = machine.facts(capsys, "expId=exp", "worker-list")
    assert (row["worker_id"], row["pid"], row["status"], row["current_job_id"]) == (
        name, os.getpid(), "idle", None)
    assert (row["slot"], row["machine_type"], row["server"]) == (3, "gpu", "http://h:1")
    assert row["last_ping_at"] is None and row["last_ping_age"] is None
    assert 50 <= row["uptime"] < 60
    assert row["log_path"] == str(machine.logs / ("jd_worker_%s.log" % name))


@pytest.mark.parametrize("width, columns", [
    (None, "ID PID STATUS JOB UPTIME HEARTBEAT HOST"),
    (74, "ID PID STATUS JOB UPTIME HEARTBEAT HOST"),
    (73, "ID PID STATUS JOB UPTIME HEARTBEAT"),
    (65, "ID PID STATUS JOB UPTIME"),
    (53, "ID PID STATUS JOB"),
    (44, "ID STATUS JOB"),
    (35, "ID STATUS"),
    (20, "ID STATUS"),
])
def test_columns_go_from_the_right_where_the_terminal_is_narrow(
        machine: Machine, width: Optional[int], columns: str) -> None:
    machine.enter("busy", 1234567)
    machine.enter("idle", here=other_host("node17"))
    here = Here()
    seen = [views.Seen(worker.row._replace(
                worker_id="abcdefghijkl_w_%d" % at, pid=1234567, started_at=1000.0, last_ping_at=1600.0,
                host="node17" if worker.life is Life.ELSEWHERE else "vm"), worker.life)
            for at, worker in enumerate(views.look(machine.registry, here))]
    lines = views.worker_lines(seen, here, 2000.0, width)
    assert lines[0].split() == columns.split()
    assert width is None or max(map(len, lines)) <= max(width, 23)
    if width == 20:
        assert lines[1].split()[0] == "abcde..l_w_0"


BECAUSE = "5 jobs in a row failed here while others succeed elsewhere"


def test_why_a_server_has_paused_a_worker(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("busy", 3, paused_because=BECAUSE)
    name = machine.enter("paused", paused_because=BECAUSE)
    listed = printed(machine, capsys, "expId=exp", "worker-list")
    assert "  paused: 5 jobs in a row failed here while oth...  " in listed and "  busy  " in listed
    assert BECAUSE in printed(machine, capsys, "expId=exp", "worker-status", name)
    assert machine.facts(capsys, "expId=exp", "worker-status", name)["paused_because"] == BECAUSE
    assert "%s: %s" % (name, BECAUSE) in printed(machine, capsys, "expId=exp", "exp-status")
    assert machine.facts(capsys, "expId=exp", "exp-status")["paused_because"][name] == BECAUSE


def test_what_workers_have_is_listed_where_anybody_said_so(machine: Machine,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter()
    assert "TYPE" not in printed(machine, capsys, "expId=exp", "worker-list")
    name = machine.enter(config={"machine_type": "gpu", "tags": ["a100", "big"]})
    header, *lines = printed(machine, capsys, "expId=exp", "worker-list").splitlines()
    assert header.split()[-2:] == ["TYPE", "TAGS"]
    (line,) = [line for line in lines if line.startswith(name)]
    assert line.split()[-3:] == ["gpu", "a100,", "big"]
    assert [line.split()[-2:] for line in lines if line.split()[0] != name] == [["worker", "-"]]
    assert "tags            a100, big" in printed(machine, capsys, "expId=exp", "worker-status", name)
    assert machine.facts(capsys, "expId=exp", "worker-status", name)["tags"] == ["a100", "big"]
    assert "tags          a100, big" in printed(machine, capsys, "expId=exp", "show-config", name)


def test_one_worker_in_full(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    name = machine.enter("busy", 7, config={"server": "http://h:5000"})
    shown = printed(machine, capsys, "expId=exp", "worker-status", name)
    for part in (name, "busy", "7", "http://h:5000", "/x/train.py", str(os.getpid()),
                 str(machine.logs / ("jd_worker_%s.log" % name)), "MB"):
        assert part in shown
    facts = machine.facts(capsys, "expId=exp", "worker-status", name)
    assert facts["memory_bytes"] > 1_000_000 and facts["cpu_seconds"] > 0


def test_a_worker_that_has_ended_is_not_shown_as_running(machine: Machine,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    name = machine.enter("busy", 7, here=gone())
    shown = printed(machine, capsys, "expId=exp", "worker-status", name)
    assert "ended" in shown and "busy" not in shown and "MB" not in shown


def test_no_such_worker(machine: Machine) -> None:
    name = machine.enter()
    with pytest.raises(UsageError, match="no worker 'nope'.*%s" % name):
        machine.run("expId=exp", "worker-status", "nope")
    with pytest.raises(UsageError, match="usage: jd_worker_cli"):
        machine.run("expId=exp", "worker-status")


def test_an_experiment_is_counted(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    for status, job in (("busy", 12), ("busy", 9), ("idle", None), ("draining", 3)):
        machine.enter(status, job, config={"server": "http://h:5000"})
    machine.enter("busy", 99, here=other_host())
    machine.enter("busy", 98, here=gone())
    near = outboxes.near(EXPERIMENT, machine.environ)
    (lasting,) = outboxes.lasting(EXPERIMENT, machine.environ)
    for outbox, entries in ((near, ("1-1-a.json", ".3.json", "4.bad")), (lasting, ("2-1-b@0.1.2.json",))):
        outbox.make()
        for entry in entries:
            (outbox.path / entry).write_text("{}")
    machine.registry.set_draining()
    facts = machine.facts(capsys, "expId=exp", "exp-status")
    assert facts == {
        "experiment": "exp", "workers": 4, "elsewhere": 1, "draining": True, "jobs": [3, 9, 12],
        "server": "http://h:5000", "server_found_by": "a running worker", "server_error": None,
        "paused_because": {}, "undelivered": 2,
        "statuses": {"busy": 2, "idle": 1, "starting": 0, "paused": 0, "draining": 1, "stopping": 0}}
    shown = printed(machine, capsys, "expId=exp", "exp-status")
    assert "4 here: 2 busy, 1 idle, 1 draining; 1 on other hosts" in shown
    assert "3, 9, 12" in shown and "2 results" in shown and "http://h:5000  (a running worker)" in shown


def test_an_experiment_that_nobody_started(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(machine, capsys, "expId=exp", "exp-status")
    assert "0 here" in shown and "(the default)" in shown


def test_all_experiments(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("busy", 1)
    machine.enter("idle")
    machine.enter("idle", here=other_host())
    machine.enter("idle", experiment="another")
    Registry("another", machine.environ).set_draining()
    facts = machine.facts(capsys, "exp-list")
    assert [row["experiment"] for row in facts] == ["another", "exp"]
    assert facts[1] == {"experiment": "exp", "workers": 2, "busy": 1, "idle": 1, "elsewhere": 1,
                        "draining": False, "undelivered": 0}
    lines = printed(machine, capsys, "exp-list").splitlines()
    assert lines[1].split() == ["another", "1", "0", "1", "0", "draining"]
    assert "UNDELIVERED" not in lines[0]


def test_a_registry_that_cannot_be_read_does_not_hide_the_others(
        machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("busy", 1)
    broken = Registry("broken", machine.environ)
    broken.path.parent.mkdir()
    broken.path.write_bytes(b"this is no database" * 100)
    assert machine.run("exp-list") == 1
    caught = capsys.readouterr()
    assert "exp " in caught.out and str(broken.path) in caught.err


def test_what_others_wrote_cannot_command_the_terminal(machine: Machine,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    machine.enter("\033[31mbusy", here=other_host("evil\033]0;x\007.example"))
    machine.enter("\033[31mbusy", config={"entry_script": "/x\n/y"})
    for words in (("worker-list",), ("exp-status",)):
        shown = printed(machine, capsys, "expId=exp", *words)
        assert "\033" not in shown and "\007" not in shown
