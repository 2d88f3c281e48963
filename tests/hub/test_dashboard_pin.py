"""Resetting the PIN of a dashboard at the Hub: who may, and how the job server gets it."""

import json
from typing import Any, Iterator, Optional, Union

import pytest

from jd.auth import passwords
from jd.hub import cli
from jd.hub.store import experiments
from tests.hub.hub_support import ALICE, BOB, EXPERIMENTS, SERVER, Answer, Bench

BEAT = EXPERIMENTS + "/exp/heartbeat"
PAGE = "/web/experiments/exp/pin"


class People:
    """Alice with a key and an experiment that is shared with Bob; both can sign in."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.alice_id, self.alice = bench.user(ALICE)
        self.bob_id, self.bob = bench.user(BOB)
        bench.data.write_now(lambda db, _now: db.execute("UPDATE users SET password = 'hash'"))
        bench.experiment("exp", self.alice_id)
        bench.write(experiments.share, "exp", BOB, "work", self.alice_id, "test")

    def cookie(self, email: str) -> str:
        return self.bench.signed_in(email, "hash")

    def reset(self, email: str = ALICE) -> Answer:
        return self.bench.call("POST", PAGE, None, {}, cookie=self.cookie(email))

    def beat(self, key: Optional[str] = None, **body: Any) -> Answer:
        return self.bench.call("POST", BEAT, key or self.alice, body)

    def waits(self, email: str = ALICE) -> bool:
        listed = self.bench.call("GET", "/web/experiments", None, None, cookie=self.cookie(email))
        return bool(listed.body["experiments"][0]["pin_waits"])


@pytest.fixture
def people(bench: Bench) -> Iterator[People]:
    made = People(bench)
    yield made
    bench.hub._signin.close()


def test_the_server_gets_it_until_it_says_that_it_took_it(people: People) -> None:
    answer = people.reset()
    assert answer.status == 200
    given = people.beat().body["dashboard_pin"]
    assert passwords.verify(answer.body["pin"], given["hash"])
    assert people.waits() and not people.waits(BOB)
    assert people.beat(dashboard_pin=given["number"] - 1).body["dashboard_pin"] == given
    assert people.beat(dashboard_pin=given["number"]).body == {"status": "active"}
    assert people.beat().body == {"status": "active"} and not people.waits()
    dump = "\n".join(people.bench.data.database.read(lambda db: list(db.iterdump())).result(10))
    assert given["hash"] not in dump and "'%s'" % answer.body["pin"] not in dump


def test_numbers_grow_also_for_a_hub_that_came_back_from_a_backup(people: People) -> None:
    numbers = []
    for step in (0.0, 0.0, 1.0, -3600.0):  # the clock may be set back
        people.bench.now += step
        people.reset()
        numbers.append(people.beat().body["dashboard_pin"]["number"])
    assert numbers == sorted(set(numbers)) and numbers[-1] < 2 ** 53
    # It knows nothing of the resets after the backup was made: time has passed meanwhile.
    people.bench.data.write_now(lambda db, _now: db.execute("UPDATE experiments SET pin_number = 0"))
    people.bench.now += 3600 + 60
    people.reset()
    assert people.beat().body["dashboard_pin"]["number"] > numbers[-1]


def test_it_is_for_the_owner_alone(people: People) -> None:
    assert people.reset(BOB).status == 403
    assert people.bench.call("POST", PAGE, people.alice, {}).status == 401
    people.reset()
    assert people.beat(people.bob).status == 403


def test_who_gives_an_experiment_away_knows_no_pin_of_the_new_server(people: People) -> None:
    people.reset()
    people.bench.write(experiments.transfer, "exp", BOB, people.alice_id, "test")
    people.bench.write(experiments.register, "exp", people.bob_id, SERVER, None)
    assert people.beat(people.bob).body == {"status": "active"}


def test_a_deleted_experiment_has_none(people: People) -> None:
    people.bench.write(experiments.delete, "exp", people.alice_id, "test")
    assert people.reset().status == 403


@pytest.mark.parametrize("number", [-1, "1", 1.5, True, 2 ** 60])
def test_what_a_server_cannot_have_taken(people: People, number: Union[float, str]) -> None:
    people.reset()
    assert people.beat(dashboard_pin=number).status == 400
    assert "dashboard_pin" in people.beat().body


def test_the_command_prints_it_once(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        assert cli.main(["experiment", "pin-reset", "exp", "--data", str(people.bench.data.directory)]
                        + list(words)) == 0
        return capsys.readouterr().out
    assert passwords.verify(json.loads(run("--json"))["pin"], people.beat().body["dashboard_pin"]["hash"])
    first = run().splitlines()[0]
    file = people.bench.data.directory / "pin-exp"
    assert first == "new PIN for the dashboard of exp: in %s" % file
    pin = file.read_text().strip()
    assert passwords.verify(pin, people.beat().body["dashboard_pin"]["hash"])
    assert people.waits()


def test_it_stands_in_the_history_without_the_pin(people: People) -> None:
    pin = people.reset().body["pin"]
    rows = people.bench.data.database.read(
        lambda db: db.execute("SELECT actor, event FROM history WHERE subject = 'exp'").fetchall()).result(10)
    assert (ALICE, "PIN of the dashboard reset") in rows and pin not in str(rows)
