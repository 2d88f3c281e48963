"""Why jobs fail, counted by kind, and which values stand out: beside plain calculations."""

import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from jd import messages
from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.store.operators import bulk
from jd.server.store.pages import failures, standouts, summary
from jd.server.store.pages.failures import Failures, Place
from jd.server.store.pages.standouts import Standout
from jd.server.store.policy import Policy
from jd.server.store.queue import ending, retry
from tests.server.parts_bench import PartsBench, run_bench
from tests.server.store_support import Desk, ordered
from tests.server.test_errors import fail

Job = Dict[str, Any]


def take(desk: Desk, text: str = "") -> Failures:
    return desk.read(lambda db: failures.take(db, text, desk.now))


def stand_out(desk: Desk, kind: int = 1, text: str = "") -> List[Standout]:
    return desk.read(lambda db: standouts.take(db, text, desk.now)).kinds[kind]


def succeed(desk: Desk, worker: str = "node1_egg_0", **fields: Any) -> int:
    job = desk.claim(worker, session=worker, host=worker.partition("_")[0])
    desk.finish(job.job_id, attempt=job.attempt, **fields)
    return job.job_id


def lose(desk: Desk, job_id: int) -> None:
    desk.write(lambda t: ending.end(t, job_id, p.VERDICT_LOST, message="no heartbeat for 600 s"))


def sweep(desk: Desk, jobs: List[Job], failing: List[bool], code: Optional[List[str]] = None) -> None:
    """Jobs of which some fail with one error, and all others are done."""
    desk.add(ordered({"jobs": jobs}))
    for at, fails in enumerate(failing):
        fields: Dict[str, Any] = {"code": {"hash": code[at]}} if code else {}
        if fails:
            fail(desk, "ValueError: %d" % at, final=True, **fields)
        else:
            succeed(desk, **fields)


# ---- groups

def test_nothing_has_failed(desk: Desk) -> None:
    assert take(desk) == Failures(0, 0, 0, 0, 0, 0, 0, 0, False, [], [], 0)
    desk.create(2)
    succeed(desk)
    assert take(desk) == Failures(0, 0, 1, 0, 0, 0, 0, 1, False, [], [], 0)
    assert desk.read(lambda db: standouts.take(db, "", desk.now)) == standouts.Standouts(1, 1, 1, {})


def test_kinds_tell_what_became_of_their_jobs_where_and_when(desk: Desk) -> None:
    desk.create(7)
    began = desk.now
    fail(desk, "ValueError: 1", gpus="3")  # 1: comes good
    desk.now += 10
    fail(desk, "ValueError: 2", "node2_egg_0", final=True)  # 2: stays failed
    desk.now += 10
    fail(desk, "ValueError: 3", "node2_egg_1", final=True, gpus="0,1")  # 3: the same
    fail(desk, "", verdict=p.VERDICT_OOM, exit_code=-9,
         message="killed by SIGKILL: out of memory")  # 4: again
    succeed(desk)  # 5
    fail(desk, "ValueError: 6", final=True)  # 6: is deleted
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [6], "of no use"))
    desk.now += 10
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], "again"))
    fail(desk, "ValueError: again")
    desk.now += 3600
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], "and again"))
    assert succeed(desk) == 1
    found = take(desk)
    assert found[:9] == (3, 5, 5, 4, 1, 2, 1, 2, False)
    assert found.kinds[0] == failures.Kind(
        1, "ValueError: <n>", "failed", 1, 3, 3, 1, 2, 0, began, began + 20,
        [Place("node2", 2), Place("node1", 1)], 2,
        [Place("node1_egg_0", 1), Place("node2_egg_0", 1), Place("node2_egg_1", 1)], 3,
        [Place("node1 GPU 3", 1), Place("node2 GPU 0,1", 1)], 2,
        failures.Example(3, 1, "node2_egg_1", "ValueError: 3"))
    assert [(kind.form, kind.verdict, kind.exit_code, kind.good, kind.failed, kind.again)
            for kind in found.kinds[1:]] == [("killed by SIGKILL: out of memory", "oom", -9, 0, 0, 1),
                                             ("ValueError: again", "failed", 1, 1, 0, 0)]


def test_what_was_lost_or_given_back_is_no_failure_of_the_script_and_told_apart(desk: Desk) -> None:
    desk.policy = Policy(max_interruptions=1)
    desk.create(5)
    succeed(desk)  # 1
    fail(desk, "ValueError: 2", final=True)  # 2
    for number in (3, 4):  # lost: for good, since one interruption is all that they may have
        desk.claim("node1_egg_%d" % number, session="s", host="node1")
        lose(desk, number)
    desk.policy = Policy()
    given_back = desk.claim("node2_egg_0", session="t", host="node2")
    desk.write(lambda t: ending.release(t, messages.Release(given_back.job_id, 1, "the worker leaves")))
    found = take(desk)
    assert (found.total, found.attempts, found.tried, found.jobs, found.failed) == (1, 1, 4, 1, 1)
    assert [kind.form for kind in found.kinds] == ["ValueError: <n>"]
    assert [(kind.verdict, kind.attempts, kind.failed, kind.again) for kind in found.interrupted] == [
        ("lost", 2, 2, 0), ("preempted", 1, 0, 1)]
    assert found.stayed == 3  # what can be tried again is of either sort
    # What the page shows, what server-info says of the last hour, and the bars of Completions agree.
    assert desk.read(lambda db: summary.failed_of_late(db, desk.now)) == found.attempts
    assert list(desk.read(lambda db: standouts.take(db, "", desk.now)).kinds) == [found.kinds[0].id]


def test_groups_are_what_plain_counting_gives(desk: Desk) -> None:
    """Jobs that fail several times, in several ways, and end in all of them."""
    chance = random.Random(3)
    desk.policy = Policy(pause_failing=False, pause_broken=False)
    desk.create(40)
    told: Dict[Tuple[str, int], List[Tuple[int, str]]] = {}
    for _ in range(70):
        desk.now += 100
        desk.write(lambda t: retry.retry_due(t, 100))
        desk.write(lambda t: t.db.execute("UPDATE jobs SET elsewhere_until = NULL"))
        worker = "node%d_egg_0" % chance.randrange(3)
        if desk.read(lambda db: db.execute("SELECT 1 FROM jobs WHERE status = 'PENDING'").fetchone()) is None:
            break
        if chance.random() < 0.3:
            succeed(desk, worker)
            continue
        word, code = chance.choice(["a", "b", "c"]), chance.choice([1, 2])
        job = fail(desk, "ValueError: %s %d" % (word, chance.randrange(100)), worker, exit_code=code)
        told.setdefault(("ValueError: %s <n>" % word, code), []).append((job, worker.partition("_")[0]))
    status = {job: (state, back) for job, state, back in desk.read(lambda db: db.execute(
        "SELECT id, status, retry_at IS NOT NULL FROM jobs").fetchall())}
    found = take(desk)
    assert {(kind.form, kind.exit_code): (kind.attempts, kind.jobs, kind.good, kind.failed, kind.again,
                                          {place.name: place.n for place in kind.hosts})
            for kind in found.kinds} == {key: (
            len(some), len({job for job, _ in some}),
            len({job for job, _ in some if status[job][0] == "DONE"}),
            len({job for job, _ in some if status[job] == ("ABORTED", 0)}),
            len({job for job, _ in some if status[job][0] in ("PENDING", "SERVED") or status[job][1]}),
            {host: sum(one == host for _, one in some) for host in {host for _, host in some}})
        for key, some in told.items()}
    jobs = {job for some in told.values() for job, _ in some}
    assert (found.attempts, found.jobs) == (sum(map(len, told.values())), len(jobs))
    assert found.good + found.failed + found.again == len(jobs)
    stayed = [kind.failed for kind in found.kinds]
    assert stayed == sorted(stayed, reverse=True) and stayed[0] > 0


def test_a_filter_narrows_them(desk: Desk) -> None:
    sweep(desk, [{"x": at} for at in range(8)], [True] * 4 + [False] * 4)
    assert take(desk, "x<2").kinds[0].jobs == 2 and take(desk, "x>3")[:4] == (0, 0, 4, 0)
    assert take(desk, "error=E1").jobs == 4 and take(desk, "status=DONE").jobs == 0
    with pytest.raises(ProtocolError, match="no 'nope'"):
        take(desk, "nope=1")
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [1], ""))
    assert take(desk).jobs == 3 and take(desk, "status=DELETED").jobs == 1


# ---- as pages ask for it

def test_pages_get_kinds_and_what_stands_out(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"lr": int(at < 9)} for at in range(30)))
        for at in range(30):
            await bench.beat("node%d_egg_0" % (at % 2), session="s", host="node%d" % (at % 2))
            told = {"message": "exit status 1", "exit_code": 1, "output_tail": "ValueError: %d" % at}
            await bench.finish(at + 1, **dict({"status": "ABORTED"}, **told) if at < 8 else {"exit_code": 0})
        found = (await bench.get("/web/failures?filter=")).json
        (kind,) = found["kinds"]
        assert (found["tried"], found["jobs"], found["again"], kind["form"], kind["exit_code"]) == (
            30, 8, 8, "ValueError: <n>", 1)
        assert kind["hosts"] == [{"name": "node0", "n": 4}, {"name": "node1", "n": 4}]
        assert kind["example"] == {"job": 8, "attempt": 1, "worker": "node1_egg_0", "error": "ValueError: 7"}
        values = (await bench.get("/web/failures/values")).json
        assert [(one["name"], one["low"], one["failed"], one["n"], one["others_failed"], one["others"])
                for one in values["kinds"]["1"]] == [("lr", 1, 8, 9, 0, 21)]
        job = (await bench.get("/web/job?id=3")).json
        assert job["error"] == "ValueError: 2" and job["alike"] == {"kind": 1, "jobs": 8}
        assert (await bench.get("/web/job?id=20")).json["alike"] is None
        assert (await bench.get("/web/failures?filter=error%3DE1%20lr%3D1")).json["jobs"] == 8
        for path in ("/web/failures", "/web/failures/values"):
            refused = await bench.get(path + "?filter=nope%3D1")
            assert refused.status == 400 and "there is no 'nope'" in refused.json["error"]
            assert (await bench.get(path + "?filter=" + "x" * 501)).status == 400
    run_bench(tmp_path, scenario)


# ---- what stands out

def exactly(both: int, with_it: int, failed: int, jobs: int) -> float:
    """Fisher's exact test by counting all ways."""
    ways = sum(math.comb(failed, k) * math.comb(jobs - failed, with_it - k)
               for k in range(both, min(failed, with_it) + 1))
    return float(Fraction(ways, math.comb(jobs, with_it)))


@pytest.mark.parametrize("table", [
    (12, 14, 15, 100), (3, 3, 3, 10), (0, 5, 3, 10), (5, 5, 5, 5), (1, 1, 1, 2), (12, 20, 20, 30),
    (30, 40, 50, 90), (0, 0, 3, 9), (0, 4, 0, 9), (4, 4, 9, 9), (200, 300, 400, 1000)])
def test_the_probability_is_that_of_fishers_exact_test(table: Tuple[int, int, int, int]) -> None:
    assert math.exp(standouts.log_chance(*table)) == pytest.approx(exactly(*table), rel=1e-9)


def test_of_what_no_float_can_tell_apart_the_less_likely_stands_out_more() -> None:
    """All 3,000 jobs of a value fail, of 30,000; or the same ones, and 300 more that do not."""
    sharp, blurred = (standouts.log_chance(3000, with_it, 3000, 30_000) for with_it in (3000, 3300))
    assert sharp < blurred < -1000 and math.exp(blurred) == 0.0


def test_two_jobs_are_no_rule(desk: Desk) -> None:
    sweep(desk, [{"rare": int(at < 2)} for at in range(60)], [at < 2 for at in range(60)])
    assert exactly(2, 2, 2, 60) < standouts.CHANCE and stand_out(desk) == []


def test_a_value_that_fails_stands_out_with_its_counts(desk: Desk) -> None:
    """lr=1.0: 12 of 14 failed so, 3 of 86 others; true is told as true."""
    jobs = [{"lr": 1.0 if at < 14 else 0.1, "amp": at < 14, "opt": "ab"[at % 2], "same": 3}
            for at in range(100)]
    sweep(desk, jobs, [at < 12 or 20 <= at < 23 for at in range(100)])
    amp, lr = stand_out(desk)
    assert lr[:8] == ("lr", False, 1.0, 1.0, 14, 12, 86, 3)
    assert amp[:8] == ("amp", False, True, True, 14, 12, 86, 3) and amp.low is True
    # Compared are two values of lr, of amp and of opt; that all have the same says nothing.
    assert lr.chance == pytest.approx(6 * exactly(12, 14, 15, 100))


def test_chance_does_not_stand_out(desk: Desk) -> None:
    chance = random.Random(8)
    jobs = [{"p%d" % name: chance.choice([1, 2, 3, 4]) for name in range(25)} for _ in range(80)]
    sweep(desk, jobs, [chance.random() < 0.2 for _ in jobs])
    assert stand_out(desk) == []
    assert desk.read(lambda db: standouts.take(db, "", desk.now))[:3] == (80, 25, 25)


def test_what_all_have_or_too_few_does_not(desk: Desk) -> None:
    jobs = [{"lr": 1, "seed": at, "rare": int(at < 2)} for at in range(40)]
    sweep(desk, jobs, [at < 2 for at in range(40)])
    assert stand_out(desk) == []


@pytest.mark.parametrize("log", [False, True])
def test_numbers_stand_out_by_ranges_of_tenths(desk: Desk, log: bool) -> None:
    """With ties, a value that is missing, one that is no number of few; also on a range of magnitudes."""
    chance = random.Random(4)
    rates = [10 ** chance.uniform(-5, -1) if log else chance.randrange(60) / 60 for _ in range(120)]
    limit = sorted(rates)[95]
    jobs = [{"lr": rate, "few": chance.randrange(4)} for rate in rates]
    del jobs[7]["lr"]
    failing = [rate >= limit and at != 7 and chance.random() < 0.9 for at, rate in enumerate(rates)]
    sweep(desk, jobs, failing)
    (found,) = stand_out(desk)
    kept = sorted((job["lr"], fails) for job, fails in zip(jobs, failing) if "lr" in job)
    values = [value for value, _ in kept]
    edges = sorted({values.index(values[len(values) * tenth // 10]) for tenth in range(10)}) + [len(values)]
    best = min(
        (exactly(both, end - start, sum(failing), 120), end - start, values[start], values[end - 1], both)
        for a, start in enumerate(edges[:-1]) for end in edges[a + 1:]
        for both in [sum(fails for _, fails in kept[start:end])]
        if both >= 3 and both / (end - start) >= 1.5 * (sum(failing) - both) / (120 - (end - start)))
    assert (found.low, found.high, found.n, found.failed) == (best[2], best[3], best[1], best[4])
    assert (found.others, found.others_failed) == (120 - best[1], sum(failing) - best[4])
    ranges = (len(edges) - 1) * len(edges) // 2
    assert found.chance == pytest.approx(min(1.0, best[0] * (ranges + 4)))


def test_versions_of_the_code_stand_out_too(desk: Desk) -> None:
    sweep(desk, [{"x": 1}] * 30, [at < 10 for at in range(30)],
          ["a" * 64 if at < 11 else "b" * 64 for at in range(30)])
    (found,) = stand_out(desk)
    assert found.is_code and found[4:8] == (11, 10, 19, 0)
    assert take(desk, "code=%s" % found.low).kinds[0].jobs == 10


def test_texts_lists_and_names_beyond_the_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "model.encoder.transformer.attention.dropout_rate"
    jobs = [{long: "a b" if at < 9 else "c", "layers": [64, 32] if at < 9 else [64]} for at in range(30)]
    sweep(desk, jobs, [at < 8 for at in range(30)])
    assert [(one.name, one.low) for one in stand_out(desk)] == [("layers", "[64, 32]"), (long, "a b")]
    monkeypatch.setattr(standouts, "MAX_CELLS", 30)
    limited = desk.read(lambda db: standouts.take(db, "", desk.now))
    assert limited[:3] == (30, 1, 2) and [one.name for one in limited.kinds[1]] == [long]
