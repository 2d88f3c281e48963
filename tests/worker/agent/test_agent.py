"""The agent while it works: claims, heartbeats, results, outages, commands."""

import json
from pathlib import Path
from typing import List, Optional

import pytest

import tests.worker.bench
from jd import protocol
from jd.messages import Code, Result
from jd.net.client import OtherExperiment
from jd.worker.attempt.process.jobprocess import STOPPED_LOST
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.limits import Limits
from jd.worker.uplink.callthread import Call
from jd.worker.uplink.delivery import MAX_FAILURES
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.verdict import Ended
from tests.worker.bench import ALL, SERVER, Bench, FakeJob, job


def test_the_first_heartbeat_is_one_that_every_server_understands(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.call.route == protocol.HEARTBEAT
    assert set(bench.call.body) == {
        "worker_id", "host", "machine_type", "reported_status", "current_job_id",
        "applied_version", "system_metrics", "jd_worker_version", "session"}
    assert bench.call.body["reported_status"] == "idle"
    assert bench.call.body["current_job_id"] is None
    assert bench.call.timeout == 30.0


def test_base_server_is_asked_again_after_its_interval(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply()
    assert bench.step_to_deadline() == pytest.approx(180.0)
    assert "wait" not in bench.call.body


def test_a_server_that_offers_it_holds_the_next_claim(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    assert bench.call.body["wait"] == 180.0
    assert bench.call.timeout == 210.0
    bench.reply(ALL, took=180.0)
    assert bench.call.body["wait"] == 180.0


def test_a_server_that_does_not_hold_what_it_offers_to_hold_is_not_stormed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    pauses = []
    for _ in range(12):
        bench.reply(ALL, took=0.0)
        pauses.append(bench.step_to_deadline())
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[-1] == 180.0


def test_a_held_claim_that_breaks_halves_the_wait_and_is_no_outage(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    waits = []
    for _ in range(4):
        bench.unreachable(took=15.0)
        waits.append(bench.call.body["wait"])
    assert waits == [90.0, 45.0, 22.5, 20.0]
    assert not bench.said("is away")
    bench.unreachable(took=20.0)
    assert bench.said("the server is away: connection refused")


def test_the_wait_comes_back_when_the_break_was_the_servers_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    bench.unreachable(took=15.0)
    bench.unreachable(took=0.1)
    bench.step_to_deadline()
    bench.reply(ALL)
    assert bench.call.body["wait"] == 180.0


NO_WATCH = [name for name in ALL if name != protocol.EXT_WATCH]


@pytest.mark.parametrize("extensions, attempt", [(None, None), (NO_WATCH, 1)])
def test_a_running_job_is_heartbeated(tmp_path: Path, extensions: Optional[List[str]],
                                      attempt: Optional[int]) -> None:
    bench = Bench(tmp_path)
    bench.reply(extensions, job(5, attempt))
    assert bench.calls.in_flight is None
    assert bench.step_to_deadline() == pytest.approx(57.0)
    body = bench.call.body
    assert (body["reported_status"], body["current_job_id"]) == ("busy", 5)
    assert body.get("attempt") == attempt
    assert body.get("output_tail") == (None if extensions is None else "the tail")
    assert "wait" not in body and bench.call.timeout == 30.0
    bench.reply(extensions)
    assert bench.step_to_deadline() == pytest.approx(57.0)


def watched(bench: Bench) -> Call:
    """The first heartbeat of a job, which the server is asked to hold."""
    bench.reply(ALL, job(5))
    assert bench.calls.in_flight is None
    assert bench.step_to_deadline() == pytest.approx(3.0)
    return bench.call


@pytest.mark.parametrize("extensions", [ALL, [name for name in ALL if name != protocol.EXT_CODE]])
def test_the_code_that_runs_is_told_until_the_server_has_it(tmp_path: Path, extensions: List[str]) -> None:
    bench, ran = Bench(tmp_path), Code(script="train.py", hash="ab" * 32, clean=False)
    told = ran.to_json() if protocol.EXT_CODE in extensions else None
    bench.reply(extensions, job(5))
    bench.step_to_deadline()
    assert "code" not in bench.call.body, "it is not known yet"
    bench.reply(extensions, took=57.0)
    bench.jobs[0].ran = ran
    bench.unreachable(took=0.1)
    bench.step_to_deadline()
    assert bench.call.body.get("code") == told
    bench.unreachable(took=0.1)
    bench.step_to_deadline()
    assert bench.call.body.get("code") == told, "it has not arrived"
    bench.reply(extensions, took=57.0)
    bench.step_to_deadline()
    assert bench.call.body["reported_status"] == "busy" and "code" not in bench.call.body
    bench.end_job()
    assert bench.call.body["finished"].get("code") == told


def test_a_server_that_watches_holds_the_heartbeat_of_a_running_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    call = watched(bench)
    assert (call.body["reported_status"], call.body["wait"], call.timeout) == ("busy", 57.0, 87.0)
    bench.reply(ALL, took=57.0)
    assert bench.call.body["wait"] == 57.0  # at once: the hold was the pause


def test_a_heartbeat_that_comes_back_early_is_followed_after_the_interval_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    watched(bench)
    bench.reply(ALL, took=30.0, heartbeat_interval=2.0)
    assert bench.call.body["output_tail"] == "the tail"  # at once: who watches waits for it
    bench.reply(ALL, took=0.01, heartbeat_interval=2.0)
    assert bench.step_to_deadline() == pytest.approx(1.99)
    bench.reply(ALL, took=0.01)  # a server that does not hold what it offers to hold
    assert bench.step_to_deadline() == pytest.approx(56.99)


def test_a_command_in_a_held_heartbeat_is_acknowledged_by_the_next(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    watched(bench)
    bench.reply(ALL, took=10.0, desired_state="pause", desired_version=1, pending=True)
    assert (bench.call.body["applied_version"], bench.call.body["wait"]) == (1, 57.0)


def test_the_end_of_a_job_abandons_its_held_heartbeat(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    held = watched(bench)
    bench.end_job()
    assert bench.calls.abandoned == [held]
    assert bench.call.body["finished"]["job_id"] == 5


def test_so_does_one_that_cannot_be_started_after_its_files_were_restored(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    held = watched(bench)
    bench.jobs[-1].start_failure = StartFailure("no checkpoint")
    bench.step()
    assert bench.calls.abandoned == [held]
    assert bench.call.body["job_id"] == 5


def test_the_end_of_a_job_awaits_a_heartbeat_that_is_not_held(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(NO_WATCH, job(5))
    bench.step_to_deadline()
    bench.end_job()
    assert bench.calls.abandoned == []
    assert "finished" not in bench.call.body


def test_a_held_heartbeat_that_breaks_is_no_outage_and_in_the_end_not_held(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    watched(bench)
    waits = []
    for _ in range(3):
        bench.unreachable(took=15.0)
        waits.append(bench.call.body.get("wait"))
    assert waits == [28.5, 20.0, None]
    assert not bench.said("is away")
    bench.reply(ALL)
    assert bench.step_to_deadline() == pytest.approx(57.0)
    bench.unreachable()
    assert bench.said("is away")
    bench.step_to_deadline()
    assert "wait" not in bench.call.body  # it is to tell soon that the server is back
    bench.reply(ALL)
    bench.step_to_deadline()
    assert bench.call.body["wait"] == 57.0


def test_what_waits_on_disk_is_not_held_up_by_a_held_heartbeat(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    watched(bench)
    bench.unreachable()
    for number in (1, 2):
        Outbox(in_directory(tmp_path / "outbox"), print).put(
            Result(number, "DONE"), SERVER, "data-1", "old_worker_0")
    bench.step_to_deadline()
    bench.reply(ALL)
    sent = []
    while bench.calls.in_flight is not None:
        sent.append(bench.call.body["job_id"])
        bench.answer({})
    assert sent == [1, 2]


def test_result_and_next_claim_are_one_round_trip(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job(3, "boom\n")
    body = bench.call.body
    assert body["reported_status"] == "idle"
    assert "wait" not in body
    assert body["finished"] == {
        "job_id": 5, "attempt": 1, "status": "ABORTED", "verdict": "failed", "exit_code": 3,
        "message": "exit status 3\nboom", "runtime": 1.5, "output_tail": "boom\n"}
    assert [json.loads(path.read_text())["result"] for path in bench.waiting()] == [body["finished"]]
    bench.reply(ALL, job(6))
    assert bench.waiting() == []
    assert bench.jobs[-1].assignment.job_id == 6


def test_a_script_that_ends_while_it_is_started_has_a_runtime(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a step is that of its begin, and to start a script may take most of one."""
    class Swift(FakeJob):
        def step(self, now: float) -> Ended:
            return Ended(0, now - self.began)

    monkeypatch.setattr(tests.worker.bench, "FakeJob", Swift)
    bench = Bench(tmp_path)
    bench.reply(ALL, job(1))
    bench.step(0.02)
    assert bench.call.body["finished"]["runtime"] == 0.02


def test_a_base_server_gets_the_result_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(None, job(5, None))
    bench.end_job()
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    assert bench.call.body["job_id"] == 5
    assert bench.call.body["status"] == "DONE"
    assert len(bench.waiting()) == 1
    bench.answer({"message": "ok"})
    assert bench.waiting() == []
    assert bench.call.route == protocol.HEARTBEAT


def test_a_result_waits_on_disk_while_the_server_is_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job()
    first = bench.call.body["finished"]
    pauses = []
    for _ in range(9):
        bench.unreachable()
        assert len(bench.waiting()) == 1
        pauses.append(round(bench.step_to_deadline()))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert bench.times_said("the server is away") == 4
    assert bench.call.body["finished"] == first
    bench.reply(ALL)
    assert bench.said("the server is back after 4m")
    assert bench.waiting() == []


def test_a_refused_result_is_tried_alone_and_then_dropped(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job()
    bench.refuse(409)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    bench.refuse(409)
    assert bench.said("the server will not take the result of job 5")
    assert bench.waiting() == []
    assert bench.call.route == protocol.HEARTBEAT
    assert "finished" not in bench.call.body


@pytest.mark.parametrize("extensions, attempt", [(None, None), (ALL, 1)])
def test_a_404_is_believed_only_from_a_server_that_is_there(
        tmp_path: Path, extensions: Optional[List[str]], attempt: Optional[int]) -> None:
    bench = Bench(tmp_path)
    bench.reply(extensions, job(5, attempt))
    bench.end_job()
    if extensions:
        bench.refuse(404)  # the heartbeat that carried it
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    bench.refuse(404)
    for _ in range(3):
        assert bench.calls.in_flight is None
        assert len(bench.waiting()) == 1
        bench.step_to_deadline()
        # Not an idle heartbeat: that would bring the same job again.
        assert (bench.call.body["reported_status"], bench.call.body["current_job_id"]) == ("busy", 5)
        bench.refuse(404)
    bench.step_to_deadline()
    bench.reply(extensions)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    bench.refuse(404)
    assert bench.waiting() == []
    assert bench.said("dropped")
    assert bench.call.body["reported_status"] == "idle"


def test_a_doubted_result_whose_job_went_elsewhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job()
    bench.refuse(404)
    bench.refuse(404)
    bench.step_to_deadline()
    bench.refuse(409)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    bench.refuse(409)
    assert bench.waiting() == []


@pytest.mark.parametrize("body", [None, [], "hello", {"job": 7}, {"desired_state": "dance"},
                                  {"heartbeat_interval": "soon"}])
def test_a_malformed_answer_is_a_server_that_is_away(tmp_path: Path, body: object) -> None:
    bench = Bench(tmp_path)
    bench.answer(body)
    assert bench.agent.exit_status is None
    assert bench.said("answered a heartbeat")
    assert bench.step_to_deadline() == 1.0
    assert bench.call.route == protocol.HEARTBEAT


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_other_refusals_are_a_server_that_is_away(tmp_path: Path, status: int) -> None:
    bench = Bench(tmp_path)
    bench.refuse(status)
    assert bench.agent.exit_status is None
    assert bench.step_to_deadline() == 1.0


def test_the_advice_of_a_server_is_not_given_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.refuse(401, "a token is needed; set JD_SERVER_TOKEN_FILE or JD_SERVER_TOKEN")
    (line,) = [line for line in bench.logged if "does not accept" in line]
    assert line.endswith("set JD_SERVER_TOKEN_FILE or JD_SERVER_TOKEN")


@pytest.mark.parametrize("status", [401, 403])
def test_an_idle_worker_without_the_right_token_exits(tmp_path: Path, status: int) -> None:
    bench = Bench(tmp_path)
    bench.refuse(status)
    assert bench.agent.exit_status == 1
    assert bench.times_said("JD_SERVER_TOKEN") == 1


def test_a_job_goes_on_without_the_right_token(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    for _ in range(3):
        bench.refuse(401)
        assert bench.jobs[0].stop_reason is None
        assert bench.step_to_deadline() == pytest.approx(60.0)
    bench.reply(ALL)
    bench.end_job()
    assert "finished" in bench.call.body


def test_a_taken_name_is_changed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.refuse(409)
    assert bench.call.body["worker_id"] == "node_bird_1"
    bench.reply(ALL, job(5))
    assert bench.jobs


def test_names_are_not_changed_forever(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(6):
        bench.refuse(409)
    assert bench.calls.in_flight is None
    assert bench.step_to_deadline() == 1.0


def test_a_lost_attempt_is_stopped_and_not_reported(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    bench.refuse(409)
    assert bench.jobs[0].stop_reason == STOPPED_LOST
    assert bench.calls.in_flight is None
    bench.step(200.0)
    assert bench.calls.in_flight is None
    bench.end_job(-15)
    assert bench.waiting() == []
    assert "finished" not in bench.call.body
    assert bench.call.body["reported_status"] == "idle"


def test_a_call_that_never_ends_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.step_to_deadline()
    assert len(bench.calls.abandoned) == 1
    assert bench.said("did not end")
    bench.step_to_deadline()
    assert bench.call.route == protocol.HEARTBEAT


# ---- jobs that do not start

def test_a_script_that_does_not_start_is_reported_and_the_next_claim_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.start_failure = StartFailure("cannot read the entry script /x.py: gone")
    pauses = []
    for _ in range(3):
        bench.reply(ALL, job(5))
        assert bench.call.route == protocol.UPDATE_JOB_STATUS
        assert bench.call.body["verdict"] == "failed"
        assert "/x.py" in bench.call.body["message"]
        bench.answer({})
        assert bench.calls.in_flight is None
        pauses.append(round(bench.step_to_deadline()))
    assert pauses == [1, 2, 4]


# ---- the outbox of earlier workers

def test_results_left_by_others_are_delivered(tmp_path: Path) -> None:
    earlier = Outbox(in_directory(tmp_path / "outbox"), print)
    earlier.put(Result(1, "DONE"), "http://elsewhere", "data-1", "old_worker_0")
    earlier.put(Result(2, "DONE"), SERVER, "other-data", "old_worker_0")
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    assert bench.call.body["job_id"] == 1
    bench.answer({})
    assert bench.calls.in_flight is None
    assert [path.name.split("-")[0] for path in bench.waiting()] == ["2"]


def test_results_that_come_up_during_an_outage_are_looked_for_after_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(None)
    bench.step_to_deadline()
    bench.unreachable()
    Outbox(in_directory(tmp_path / "outbox"), print).put(Result(1, "DONE"), SERVER, None, "other_worker_0")
    bench.step_to_deadline()
    bench.reply(None)
    assert bench.call.body["job_id"] == 1


def left(tmp_path: Path, result: Result) -> None:
    """By another worker, for the bench's server."""
    Outbox(in_directory(tmp_path / "outbox"), print).put(result, SERVER, "data-1", "other_worker_0")


def test_results_that_others_leave_are_looked_for_from_time_to_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    left(tmp_path, Result(1, "DONE"))
    bench.reply(ALL, took=180.0)
    assert bench.call.route == protocol.HEARTBEAT, "the outbox may be on the file system of thousands"
    bench.reply(ALL, took=180.0)
    assert bench.call.body["job_id"] == 1
    bench.answer({})
    assert bench.waiting() == []


def test_who_leaves_delivers_first_what_others_have_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limits=Limits(idle_exit=60.0))
    bench.reply(ALL)
    left(tmp_path, Result(1, "DONE"))
    bench.step(60.0)
    assert bench.call.body["job_id"] == 1
    bench.answer({})
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0 and bench.waiting() == []


def test_a_result_of_another_that_the_server_cannot_digest_keeps_nobody(tmp_path: Path) -> None:
    left(tmp_path, Result(1, "DONE"))
    bench = Bench(tmp_path, once=True)
    tried = 0
    while bench.agent.exit_status is None and tried < 50:
        if bench.calls.in_flight is None:
            bench.step_to_deadline()
        elif bench.call.route == protocol.UPDATE_JOB_STATUS:
            tried += 1
            bench.refuse(500)
        else:
            bench.reply(ALL)
    assert tried == MAX_FAILURES and bench.agent.exit_status == 0
    assert len(bench.waiting()) == 1


def test_files_that_waited_go_beside_the_heartbeats_of_the_job_that_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5), heartbeat_interval=1.0, lease=3.0)
    files = tmp_path / "outbox" / "a.files"
    Outbox(in_directory(tmp_path / "outbox"), print).put(
        Result(1, "DONE"), SERVER, "data-1", "other_worker_0", files)
    bench.step(1.0)
    bench.unreachable()
    bench.step_to_deadline()
    bench.reply(ALL, heartbeat_interval=1.0, lease=3.0)
    assert bench.call.body["job_id"] == 1 and bench.call.meanwhile is not None
    assert bench.call.meanwhile.body["current_job_id"] == 5


# ---- commands

def test_pause_takes_nothing_and_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(None, desired_state="pause", desired_version=1, pending=True)
    assert bench.call.body["applied_version"] == 1  # acknowledged at once
    bench.reply(None, desired_state="pause", desired_version=1)
    assert bench.agent.exit_status is None
    assert bench.step_to_deadline() == pytest.approx(180.0)
    bench.reply(None, job(5, None), desired_state="run", desired_version=2)
    assert bench.jobs


def test_a_command_to_a_busy_worker_is_acknowledged_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    bench.reply(ALL, desired_state="drain", desired_version=4)
    assert bench.call.body["applied_version"] == 4
    assert bench.call.body["reported_status"] == "busy"
    bench.reply(ALL, desired_state="drain", desired_version=4)
    assert bench.calls.in_flight is None
    assert bench.jobs[0].stop_reason is None


def test_an_old_command_is_ignored(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(None, desired_state="run", desired_version=3)
    bench.reply(None, desired_state="stop", desired_version=3)
    assert bench.agent.exit_status is None
    assert bench.calls.in_flight is None


def test_other_data_behind_the_server_has_its_own_commands(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, server_id="data-1", desired_version=9)
    bench.reply(ALL, server_id="data-1", desired_version=9)
    bench.reply(ALL, server_id="data-2", desired_state="stop", desired_version=1)
    assert bench.call.body.get("leave") is True


# ---- another server has the address

def other() -> OtherExperiment:
    return OtherExperiment("http://h:1 serves experiment b, not a", serves="b")


def test_the_server_of_another_experiment_is_an_outage(tmp_path: Path) -> None:
    """No new name is taken, and it is said once, not with each try."""
    bench = Bench(tmp_path)
    name = bench.call.body["worker_id"]
    for _ in range(3):
        bench.fail(other())
        assert bench.step_to_deadline() < 10
    assert bench.call.body["worker_id"] == name and not bench.said("is taken")
    assert bench.times_said("serves experiment b, not a") == 1
    bench.reply(ALL, job(5))
    assert bench.said("the server is back")


def test_it_does_not_end_a_running_job_and_gets_no_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    bench.fail(other())
    assert bench.jobs[-1].stop_reason is None
    bench.end_job()
    bench.step_to_deadline()
    assert bench.call.entry is not None
    bench.fail(other())
    bench.step_to_deadline()
    assert bench.call.entry is not None and bench.call.entry.result.job_id == 5
    bench.reply(ALL)
    assert bench.call.entry is None


# ---- what becomes of a failure

def test_when_a_failed_job_is_tried_again_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job(1)
    bench.reply(ALL, job(6), finished_retry_in=1200)
    assert bench.said("job 5 is tried again in 20m 00s, by another worker if there is one")
    bench.end_job(1)
    bench.reply(ALL, job(7), finished_retry_in=None)
    assert bench.said("job 6 is not tried again")
    bench.end_job(1)
    bench.reply(ALL)  # a server that does not tell
    assert not bench.said("job 7 is")


def test_of_a_job_that_is_done_nothing_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job(0)
    bench.reply(ALL, finished_retry_in=None)
    assert not bench.said("tried again")


@pytest.mark.parametrize("answer, line", [
    ({"retry_in": 0}, "job 5 is tried again at once, by another worker if there is one"),
    ({"retry_in": None}, "job 5 is not tried again"),
    ({"retry_in": "soon"}, ""), ({}, ""), ("ok", "")])
def test_an_answer_to_a_result_by_itself_may_tell_it_too(tmp_path: Path, answer: object, line: str) -> None:
    bench = Bench(tmp_path)
    bench.reply([name for name in ALL if name != protocol.EXT_FINISH], job(5))
    bench.end_job(1)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    bench.answer(answer)
    assert bench.waiting() == []
    assert bench.said(line) if line else not bench.said("tried again")
