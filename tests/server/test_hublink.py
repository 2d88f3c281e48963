"""The link to the Hub, step by step, against a Hub that is a table of answers."""

import json
import stat
import threading
from collections import deque
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from jd.auth import jwt
from jd.errors import JdError, ServerUnreachable, UsageError
from jd.net.client import Client, Refusal
from jd.server.api.access import Access
from jd.server.dashboardpin import HubPin
from jd.server.hubside.hublink import UNKNOWN_LIMIT, ExperimentGone, HubLink, Intervals, RevokedToken

SECRET, OTHER = "s" * 48, "o" * 48
NOW = 1_700_000_000.0
URLS = ("http://node1:5000", "http://node1:5050")


class FakeHub(Client):
    """Answers by route, those of a deque one after the other; an exception among them is raised. `calls` are
    (method, end of route, body)."""

    shown = "http://hub"

    def __init__(self) -> None:
        super().__init__(self.shown)
        self.calls: List[Tuple[str, str, Any]] = []
        self.answers: Dict[str, Any] = {
            "runtime-config": {"worker_shared_secret": SECRET, "experiment_id": "id-1"},
            "revoked-tokens": {"revoked_jtis": []}, "register": {}, "heartbeat": {}, "experiments": {}}

    def call(self, method: str, route: str, body: Any = None, *_: Any, **__: Any) -> Any:
        end = route.rpartition("/")[2]
        self.calls.append((method, end, body))
        answer = self.answers[end]
        if isinstance(answer, deque):
            answer = answer.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def break_down(self, error: JdError) -> None:
        for end in self.answers:
            self.answers[end] = error

    def made(self, end: str) -> List[Any]:
        """The bodies of the calls of a route."""
        return [body for _, name, body in self.calls if name == end]


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.hub = FakeHub()
        self.memory = tmp_path / "meta" / "hub.json"
        self.said: List[str] = []

    def link(self, **options: Any) -> HubLink:
        return HubLink(self.hub, "exp", self.memory, self.said.append, clock=lambda: NOW,
                       intervals=Intervals(30, 20, 5, 1000), **options)

    def running(self) -> HubLink:
        link = self.link()
        link.connect()
        link._urls = dict(zip(("server_url", "dashboard_url"), URLS))
        link.step(0.0)
        return link


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def refusal(status: int) -> Refusal:
    return Refusal(status, "http://hub answered %d: words of the Hub" % status)


AWAY = ServerUnreachable("no answer from http://hub")


def token(secret: str = SECRET, **changed: Any) -> str:
    claims = dict({"sub": "worker", "exp_id": "id-1", "exp_name": "exp", "user_id": 1, "jti": "j1",
                   "iat": NOW, "exp": NOW + 3600}, **changed)
    return jwt.sign(claims, secret)


# ---- tokens

def test_a_good_token_and_the_ones_that_are_not(bench: Bench) -> None:
    link = bench.running()
    assert link.verify(token()).jti == "j1"
    for bad, kind in [(token(OTHER), jwt.BadSignature), (token(exp=NOW - 60), jwt.ExpiredToken),
                      (token(exp_name="other"), jwt.MissingClaim), (token()[:-4], jwt.TokenError)]:
        with pytest.raises(kind):
            link.verify(bad)


def test_a_revoked_token_is_refused_after_the_poll_and_after_a_restart_without_the_hub(bench: Bench) -> None:
    link = bench.running()
    bench.hub.answers["revoked-tokens"] = {"revoked_jtis": ["j1"]}
    link.step(10.0)
    assert link.verify(token()).jti == "j1"
    link.step(20.0)
    with pytest.raises(RevokedToken):
        link.verify(token())
    bench.hub.break_down(AWAY)
    again = bench.link()
    again.connect()
    with pytest.raises(RevokedToken):
        again.verify(token())
    assert again.verify(token(jti="j2")).jti == "j2"


def test_tokens_revoked_before_the_start_are_known_at_once(bench: Bench) -> None:
    bench.hub.answers["revoked-tokens"] = {"revoked_jtis": ["j1"]}
    link = bench.link()
    link.connect()
    with pytest.raises(RevokedToken):
        link.verify(token())


def test_a_token_that_does_not_fit_makes_it_ask_for_the_secret_but_not_each_time(bench: Bench) -> None:
    link = bench.running()
    bench.hub.answers["runtime-config"] = {"worker_shared_secret": OTHER, "experiment_id": "id-1"}
    with pytest.raises(jwt.BadSignature):
        link.verify(token(OTHER))
    link.step(1.0)
    assert link.verify(token(OTHER)).jti == "j1"
    asked = len(bench.hub.calls)
    with pytest.raises(jwt.BadSignature):
        link.verify(token())
    link.step(2.0)
    assert len(bench.hub.calls) == asked


def test_whose_the_experiment_is_counts_and_is_remembered(bench: Bench) -> None:
    bench.hub.answers["runtime-config"].update(owner_id=1, owner="alice@example.org")
    link = bench.running()
    assert link.owner() == "alice@example.org"
    claims: List[Dict[str, Any]] = [{}, {"user_id": 2}, {"user_id": 2, "role": "edit"}, {"role": "work"}]
    assert [link.verify(token(**one)).role for one in claims] == ["owner", "work", "edit", "work"]
    bench.hub.break_down(AWAY)
    again = bench.link()
    again.connect()
    assert (again.owner(), again.verify(token(user_id=2)).role) == ("alice@example.org", "work")


def test_what_a_version_without_roles_remembered_makes_nobody_the_owner(bench: Bench) -> None:
    bench.running()
    assert json.loads(bench.memory.read_text())["owner_id"] is None  # a Hub that does not tell
    bench.hub.break_down(AWAY)
    link = bench.link()
    link.connect()
    assert link.verify(token()).role == "owner"
    kept = json.loads(bench.memory.read_text())
    del kept["owner_id"], kept["owner"]
    bench.memory.write_text(json.dumps(kept))
    link = bench.link()
    link.connect()
    assert link.verify(token()).role == "work"


def test_with_a_hub_other_machines_are_let_in_but_not_without_its_tokens(bench: Bench,
                                                                         tmp_path: Path) -> None:
    verify = bench.link().verify
    Access("0.0.0.0", None, False, verify)
    for token_file, insecure in [(tmp_path / "t", False), (None, True)]:
        with pytest.raises(UsageError, match="exclude"):
            Access("127.0.0.1", token_file, insecure, verify)


# ---- the start

def test_it_registers_and_its_memory_is_private(bench: Bench) -> None:
    bench.running()
    assert bench.hub.made("register") == [dict(zip(("server_url", "dashboard_url"), URLS))]
    assert stat.S_IMODE(bench.memory.stat().st_mode) == 0o600
    assert json.loads(bench.memory.read_text())["secret"] == SECRET and bench.said == []


@pytest.mark.parametrize("status, says", [(401, "JD_API_KEY"), (403, "words of the Hub"), (404, "--create")])
def test_a_refusal_at_the_start_says_what_to_do_whatever_is_remembered(bench: Bench, status: int,
                                                                       says: str) -> None:
    bench.running()
    bench.hub.break_down(refusal(status))
    with pytest.raises(JdError, match=says):
        bench.link().connect()


def test_create_makes_the_experiment_only_if_there_is_none(bench: Bench) -> None:
    bench.link(create=True).connect()
    assert bench.hub.made("experiments") == []
    bench.hub.answers["runtime-config"] = deque(
        [refusal(404), bench.hub.answers["runtime-config"]])
    bench.link(create=True).connect()
    assert bench.hub.made("experiments") == [{"name": "exp"}]


@pytest.mark.parametrize("error", [AWAY, refusal(503), refusal(429)])
def test_a_hub_that_is_away_at_the_start(bench: Bench, error: JdError) -> None:
    bench.hub.break_down(error)
    with pytest.raises(JdError, match="the first start"):
        bench.link().connect()
    working = FakeHub()
    bench.hub.answers = dict(working.answers)
    bench.running()
    bench.hub.break_down(error)
    link = bench.link()
    link.connect()
    link.announce(*URLS)
    assert link.verify(token()).jti == "j1" and len(bench.said) == 1
    bench.hub.answers = dict(working.answers)
    link.step(0.0)
    assert bench.hub.made("register")[-1]["server_url"] == URLS[0]
    assert bench.said[1:] == ["the Hub answers again"]


def test_what_another_hub_said_is_not_used(bench: Bench) -> None:
    bench.running()
    bench.hub.break_down(AWAY)
    bench.hub.shown = "http://another"
    with pytest.raises(JdError, match="the first start"):
        bench.link().connect()


@pytest.mark.parametrize("config", [{}, [], None, {"worker_shared_secret": ""},
                                    {"worker_shared_secret": 7}])
def test_an_answer_that_is_none_is_refused(bench: Bench, config: Any) -> None:
    bench.hub.answers["runtime-config"] = config
    with pytest.raises(JdError, match="no usable runtime-config"):
        bench.link().connect()


def test_a_hub_that_knows_only_the_base(bench: Bench) -> None:
    bench.hub.answers["runtime-config"] = {"worker_shared_secret": SECRET}
    link = bench.running()
    link.step(30.0)
    assert bench.hub.made("heartbeat") == [{}]


# ---- the loop

def test_heartbeats_and_polls_come_when_they_are_due(bench: Bench) -> None:
    link = bench.running()
    bench.hub.calls.clear()
    assert [link.step(now) for now in (1.0, 20.0, 30.0, 40.0)] == [19.0, 10.0, 10.0, 20.0]
    assert [end for _, end, _ in bench.hub.calls] == ["revoked-tokens", "heartbeat", "revoked-tokens"]
    assert bench.hub.made("heartbeat") == [{"experiment_id": "id-1"}]


def test_an_outage_is_told_once_and_the_server_registers_anew_after_it(bench: Bench) -> None:
    link = bench.running()
    answers = dict(bench.hub.answers)
    bench.hub.break_down(AWAY)
    pauses = [link.step(now) for now in (30.0, 40.0, 50.0)]
    assert len(bench.said) == 1 and "no answer from http://hub" in bench.said[0]
    assert 2.5 <= pauses[0] <= 5 and pauses[2] > pauses[0]
    assert link.verify(token()).jti == "j1"
    bench.hub.answers = answers
    link.step(60.0)
    assert len(bench.hub.made("register")) == 2 and bench.said[1:] == ["the Hub answers again"]


def test_a_server_whose_key_is_revoked_trusts_no_token_of_before_and_ends(bench: Bench) -> None:
    link = bench.running()
    before, after = token(iat=NOW - 1, jti="j1"), token(iat=NOW + 1, jti="j2")
    assert link.verify(before).jti == "j1"
    bench.hub.break_down(refusal(401))
    for now in range(UNKNOWN_LIMIT - 1):
        link.step(30.0 + now)
        with pytest.raises(RevokedToken, match="may have been revoked"):
            link.verify(before)
        assert link.verify(after).jti == "j2"
    assert len(bench.said) == 1 and "refuses this server's key" in bench.said[0]
    with pytest.raises(ExperimentGone, match="JD_API_KEY"):
        link.step(40.0)


def test_what_is_no_longer_trusted_is_not_after_a_start_while_the_hub_is_away(bench: Bench) -> None:
    link = bench.running()
    answers = dict(bench.hub.answers)
    bench.hub.break_down(refusal(401))
    link.step(30.0)
    bench.hub.break_down(AWAY)
    again = bench.link()
    again.connect()
    with pytest.raises(RevokedToken):
        again.verify(token(iat=NOW - 1))
    bench.hub.answers = answers  # the key is good after all: the Hub tells what was revoked
    again.step(60.0)
    assert again.verify(token(iat=NOW - 1)).exp_name == "exp"


def test_a_deleted_experiment_ends_it(bench: Bench) -> None:
    link = bench.running()
    bench.hub.answers["heartbeat"] = refusal(403)
    with pytest.raises(ExperimentGone, match="words of the Hub"):
        link.step(30.0)


def test_an_experiment_that_became_anothers_ends_it_after_some_answers(bench: Bench) -> None:
    link = bench.running()
    bench.hub.break_down(refusal(404))
    for now in range(UNKNOWN_LIMIT - 1):
        link.step(30.0 + now)
    with pytest.raises(ExperimentGone):
        link.step(40.0)


def test_an_experiment_that_was_made_anew_during_an_outage_ends_it(bench: Bench) -> None:
    link = bench.running()
    answers = dict(bench.hub.answers)
    bench.hub.break_down(AWAY)
    link.step(30.0)
    bench.hub.answers = dict(answers, **{
        "runtime-config": {"worker_shared_secret": OTHER, "experiment_id": "id-2"}})
    with pytest.raises(ExperimentGone, match="anew"):
        link.step(40.0)
    with pytest.raises(jwt.BadSignature):
        link.verify(token(OTHER))


def test_the_thread_outlives_a_defect_and_ends_with_stop(bench: Bench, caplog: pytest.LogCaptureFixture,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    link = HubLink(bench.hub, "exp", bench.memory, bench.said.append,
                   intervals=Intervals(.01, .01, .01, 1000))
    link.connect()
    beaten, ended = threading.Event(), threading.Event()
    defects: List[Exception] = [ZeroDivisionError()]
    reasons: List[str] = []
    answered = bench.hub.call

    def call(method: str, route: str, body: Any = None) -> Any:
        if defects:
            raise defects.pop()
        if route.endswith("heartbeat"):
            beaten.set()
        return answered(method, route, body)

    def gone(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    monkeypatch.setattr(bench.hub, "call", call)
    link.start(gone)
    assert beaten.wait(60) and "the link to the Hub http://hub failed" in caplog.text
    bench.hub.answers["heartbeat"] = refusal(403)
    assert ended.wait(60) and len(reasons) == 1 and "words of the Hub" in reasons[0]
    link.stop()
    assert link._thread is not None and not link._thread.is_alive()


def test_whether_the_hub_is_on_this_machine(bench: Bench) -> None:
    assert not bench.link().is_local
    bench.hub.shown = "http://127.0.0.1:5080"
    assert bench.link().is_local


def test_a_memory_that_cannot_be_written_is_a_warning(bench: Bench) -> None:
    bench.memory.parent.parent.mkdir(exist_ok=True)
    bench.memory.parent.write_text("")
    link = bench.running()
    assert link.verify(token()).jti == "j1"
    assert len(bench.said) == 1 and str(bench.memory) in bench.said[0]


# ---- the PIN of the dashboard

class Keeper(HubPin):
    """Takes PINs of the Hub, and has no database for them."""

    def __init__(self) -> None:
        self.numbers = [0]
        self.given: List[Tuple[int, str]] = []

    def taken(self) -> int:
        return self.numbers[-1]

    def take(self, number: int, encoded: str) -> None:
        self.numbers.append(number)
        self.given.append((number, encoded))


def test_a_pin_of_the_hub_is_passed_on_and_acknowledged(bench: Bench) -> None:
    link, keeper = bench.running(), Keeper()
    link._pin = keeper
    link.step(30.0)
    bench.hub.answers["heartbeat"] = {"status": "active", "dashboard_pin": {"number": 7, "hash": "h"}}
    link.step(60.0)
    assert keeper.given == [(7, "h")]
    bench.hub.answers["heartbeat"] = {"status": "active"}
    link.step(90.0)
    known = {"experiment_id": "id-1"}
    assert bench.hub.made("heartbeat") == [known, known, dict(known, dashboard_pin=7)]


@pytest.mark.parametrize("given", [7, {}, {"number": "7", "hash": "h"}, {"number": -1, "hash": "h"},
                                   {"number": 7}, {"number": 7, "hash": 8},
                                   {"number": 7.5, "hash": "secret"}])
def test_a_pin_in_another_form_is_told_of_and_not_repeated(bench: Bench, caplog: pytest.LogCaptureFixture,
                                                           given: Any) -> None:
    link, keeper = bench.running(), Keeper()
    link._pin = keeper
    bench.hub.answers["heartbeat"] = {"dashboard_pin": given}
    link.step(30.0)
    assert keeper.given == [] and "form that is not known" in caplog.text and "secret" not in caplog.text


def test_without_a_keeper_or_with_another_answer_nothing_happens(bench: Bench) -> None:
    link = bench.running()
    answers: List[Any] = [{"dashboard_pin": {"number": 7, "hash": "h"}}, [], None, {"dashboard_pin": None}]
    for number, answer in enumerate(answers, 1):
        bench.hub.answers["heartbeat"] = answer
        link.step(1000.0 * number)
        assert len(bench.hub.made("heartbeat")) == number
