"""Worker tokens from the Hub: asked for, renewed on a clock of the test, exchanged, kept."""

import base64
import json
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

import pytest

import jd
from jd import protocol
from jd.auth import hubtoken, tokenfiles
from jd.auth.hubtoken import Access, Grant, HubRefused
from jd.cli.commands.interactive import checked_key
from jd.cli.main import without_key
from jd.errors import JdError, ServerRefused, ServerUnreachable, StorageError, UsageError
from jd.net.client import Refusal
from jd.node.identity import Here
from jd.script.context import script_token
from jd.worker.config import WorkerConfig
from jd.worker.local.registry import Registry
from jd.worker.uplink import tokenrenewal
from jd.worker.uplink.callthread import CLAIM, Call
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.tokenrenewal import Renewal
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env
from tests.worker.bench import ALL, job
from tests.worker.bench import Bench as AgentBench

KEY = "jd_" + "k" * 40
EXPIRES, MARGIN = 3600.0, 300.0


def jwt(**claims: Any) -> str:
    return "e30.%s.sig" % base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def grant(token: str = "old", server: str = "http://s:1", expires: float = EXPIRES) -> Grant:
    return Grant(token, server, expires - 3600.0, expires, MARGIN)


def token_answer(**more: Any) -> Dict[str, Any]:
    return dict({"worker_token": jwt(iat=1000, exp=4600), "server_url": "http://node:5000", "exp_name": "exp",
                 "expires_at": 4600, "refresh_margin_secs": 300}, **more)


@pytest.fixture
def hub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


# ---- asking

def test_the_checkpoint_key_comes_with_the_token_where_the_hub_has_one(hub: StubServer) -> None:
    key = "0123456789abcdef" * 4
    hub.will_answer(Answer(200, token_answer()), Answer(200, token_answer(checkpoint_key=key)),
                    Answer(200, token_answer(checkpoint_key=key.upper())))
    access = Access(hub.url, KEY)
    assert hubtoken.request(access, "exp").checkpoint_key is None
    got = hubtoken.request(access, "exp")
    assert got.checkpoint_key == key and key not in repr(got)
    with pytest.raises(ServerUnreachable) as failed:
        hubtoken.request(access, "exp")
    assert "not 64 hexadecimal digits" in str(failed.value) and key.upper() not in str(failed.value)


def test_a_token_lives_as_long_as_it_says_whatever_the_clocks_are(hub: StubServer) -> None:
    hub.will_answer(Answer(200, token_answer()))
    got = hubtoken.request(Access(hub.url, KEY), "exp", lambda: 50.0)
    assert (got.server, got.since, got.expires, got.margin) == ("http://node:5000", 50.0, 3650.0, 300.0)
    assert hub.asked[0].target == "/api/worker/token" and hub.asked[0].json() == {"experiment_name": "exp"}
    assert hub.asked[0].headers["Authorization"] == "Bearer " + KEY
    assert got.token not in repr(got) and KEY not in repr(Access(hub.url, KEY))


@pytest.mark.parametrize("status, kind, words", [
    (401, HubRefused, "/api-keys"), (403, HubRefused, "it was deleted"),
    (404, HubRefused, "no experiment exp"),
    (503, ServerRefused, "jd_server --expId exp --hub http://"), (500, ServerRefused, "gave no token"),
])
def test_what_a_refusal_means(hub: StubServer, status: int, kind: type, words: str) -> None:
    hub.will_answer(Answer(status, {"error": "it was deleted"}))
    with pytest.raises(kind) as caught:
        hubtoken.request_patiently(Access(hub.url, KEY), "exp", sleep=lambda _: pytest.fail("tried again"))
    assert words in str(caught.value) and KEY not in str(caught.value) and "\n" not in str(caught.value)
    assert type(caught.value) is HubRefused or kind is ServerRefused


def test_a_busy_hub_is_asked_a_few_times(hub: StubServer) -> None:
    busy = Answer(429, {"error": "slowly"}, {"Retry-After": "33"})
    pauses: List[float] = []
    hub.will_answer(busy, busy, Answer(200, token_answer()))
    hubtoken.request_patiently(Access(hub.url, KEY), "exp", pauses.append)
    assert pauses == [33.0, 33.0]
    hub.will_answer(*[busy] * hubtoken.BUSY_TRIES)
    with pytest.raises(ServerRefused, match="429"):
        hubtoken.request_patiently(Access(hub.url, KEY), "exp", pauses.append)
    assert len(hub.asked) == 3 + hubtoken.BUSY_TRIES


def test_what_is_no_hub(hub: StubServer) -> None:
    for body in ({"worker_token": 5}, [1], token_answer(server_url="ftp://x")):  # type: Any
        hub.will_answer(Answer(200, body))
        with pytest.raises(ServerUnreachable):
            hubtoken.request(Access(hub.url, KEY), "exp")


def test_the_mode_rule() -> None:
    environ = {"JD_API_KEY": KEY, "JD_HUB_URL": "hub:1"}
    assert hubtoken.access({}, environ) == Access("http://hub:1", KEY)
    assert hubtoken.access({"api_key": "jd_other"}, environ) == Access("http://hub:1", "jd_other")
    assert hubtoken.access({"server": "h"}, environ) is None
    assert hubtoken.access({}, dict(environ, JD_SERVER="h")) is None
    assert hubtoken.access({"hub": "x"}, {}) is None


def test_a_launch_asks_once(hub: StubServer, tmp_path: Path) -> None:
    hub.will_answer(Answer(200, token_answer()))
    config = WorkerConfig("exp-once", tmp_path, "http://x:1", hub=hub.url, environ={"JD_API_KEY": KEY})
    first, again = tokenrenewal.authorised(config), tokenrenewal.authorised(config)
    assert first.server == "http://node:5000" and first.grant is again.grant and len(hub.asked) == 1
    assert first.grant is not None and first.grant.token not in json.dumps(first.to_json())


# ---- renewing

class Bench:
    """A renewal whose Hub answers what it is told, and whose random numbers are the lowest."""

    def __init__(self, fraction: float = 0.0) -> None:
        self.answers: List[Union[Grant, JdError]] = []
        self.asked: List[float] = []
        self.said: List[str] = []
        self.fresh: List[Grant] = []
        self.refused = 0
        self.now = 0.0
        self.fraction = fraction
        self.renewal = Renewal(grant(), self._ask, self.said.append, self.fresh.append, self._refuse,
                               self.uniform)

    def uniform(self, low: float, high: float) -> float:
        return low + self.fraction * (high - low)

    def _ask(self) -> Grant:
        self.asked.append(self.now)
        answer = self.answers.pop(0) if self.answers else ServerUnreachable("the Hub is gone")
        if isinstance(answer, Grant):
            return answer
        raise answer

    def _refuse(self) -> None:
        self.refused += 1

    def run(self, until: float) -> None:
        """Steps as they fall due."""
        while self.now <= until:
            pause = self.renewal.step(self.now)
            if pause is None or self.now + pause > until:
                self.now = until
                return
            self.now += max(pause, 0.001)


def test_it_is_renewed_from_five_minutes_before_the_end_and_not_by_all_at_once() -> None:
    moments = []
    for fraction in (0.0, 0.5, 1.0):
        bench = Bench(fraction)
        bench.answers = [grant("new", expires=2 * EXPIRES)]
        bench.run(EXPIRES)
        assert [one.token for one in bench.fresh] == ["new"] and bench.renewal.current.token == "new"
        assert bench.said == []
        moments += bench.asked
    assert moments == [pytest.approx(at, abs=0.1) for at in (3300.0, 3420.0, 3540.0)]


def test_a_hub_that_is_away_is_tried_five_times_and_then_seldom() -> None:
    bench = Bench()
    bench.run(3400.0)
    gaps = [later - earlier for earlier, later in zip(bench.asked, bench.asked[1:])]
    assert gaps[:4] == [pytest.approx(1.0, abs=0.1)] * 4 and min(gaps[4:]) >= 29.9
    assert len(bench.said) == 1 and "good for" in bench.said[0] and bench.renewal.current.token == "old"
    bench.answers = [grant("new", expires=2 * EXPIRES)]
    bench.run(3500.0)
    assert bench.said[1:] == ["the Hub has renewed the worker token"]


def test_an_expired_token_is_said_once_a_minute_and_trying_goes_on() -> None:
    bench = Bench()
    bench.run(EXPIRES + 600.0)
    expired = [line for line in bench.said if "has expired" in line]
    assert 9 <= len(expired) <= 11
    assert len([at for at in bench.asked if at > EXPIRES]) >= 19
    assert bench.refused == 0


def test_a_busy_hub_says_when_to_come_back() -> None:
    bench = Bench()
    refusal = Refusal(429, "slowly", retry_after=45.0)
    bench.answers = [refusal, grant("new", expires=2 * EXPIRES)]
    bench.run(3500.0)
    assert bench.asked[1] - bench.asked[0] == pytest.approx(45.0, abs=0.1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_final_refusal_is_one_line_and_the_end_of_asking(status: int) -> None:
    bench = Bench()
    bench.answers = [HubRefused(status, "no")]
    bench.run(EXPIRES + 100.0)
    assert len(bench.asked) == bench.refused == len(bench.said) == 1
    with pytest.raises(HubRefused):
        bench.renewal.renew("old")
    assert len(bench.asked) == 1


def test_a_server_that_is_away_may_have_moved() -> None:
    bench = Bench()
    bench.renewal.server_is_away(10.0)
    bench.renewal.server_is_away(20.0)
    bench.answers = [ServerUnreachable("gone"), grant("new", "http://s2:1")]
    bench.run(100.0)
    assert bench.asked == [pytest.approx(70.0, abs=0.1)] and bench.said == []
    bench.renewal.server_is_away(100.0)
    bench.run(200.0)
    assert bench.said == ["the job server is now at http://s2:1"]


def test_a_rejected_token_is_exchanged_once() -> None:
    bench = Bench()
    bench.answers = [grant("new")]
    assert bench.renewal.renew("old") == "new"
    assert bench.renewal.renew("old") == "new" and len(bench.asked) == 1
    bench.answers = [Refusal(429, "slowly")]
    with pytest.raises(ServerUnreachable, match="slowly"):
        bench.renewal.renew("new")


def test_the_thread_renews_and_ends() -> None:
    renewed = threading.Event()
    short = Grant("old", "http://s:1", 0.0, 0.0, 0.0)
    made = Renewal(short, lambda: grant("new", expires=1e12), lambda _: None, lambda _: renewed.set(),
                   lambda: None)
    made.start()
    assert renewed.wait(60)
    made.end()


def test_the_thread_renews_whatever_it_met_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenrenewal, "LONG_PAUSES", (0.001, 0.001))
    renewed = threading.Event()
    met: List[Exception] = [ValueError("odd"), MemoryError(), StorageError("no CA bundle")]
    said: List[str] = []

    def ask() -> Grant:
        if met:
            raise met.pop()
        return grant("new", expires=1e12)
    made = Renewal(Grant("old", "http://s:1", 0.0, 0.0, 0.0), ask, said.append, lambda _: renewed.set(),
                   lambda: None)
    made.start()
    assert renewed.wait(60) and len(said) == 3 and "was not renewed: no CA bundle" in said[0]
    made.end()


# ---- the connection of a worker

def connection(hub: StubServer, server: StubServer, tmp_path: Path) -> Connection:
    config = WorkerConfig("exp", tmp_path / "t.py", server.url, hub=hub.url,
                          environ=dict(free_env(tmp_path), JD_API_KEY=KEY),
                          grant=grant("old", server.url, 1e12))
    return Connection(config, lambda _: None, lambda: None)


CALL = Call(CLAIM, protocol.HEARTBEAT, {}, 5.0)


def test_a_401_is_answered_with_a_new_token_before_anything_else(hub: StubServer, tmp_path: Path) -> None:
    new = jwt(iat=1, exp=9)
    with StubServer() as server:
        made = connection(hub, server, tmp_path)
        registry = Registry("exp", made._config.environ)
        (name,) = registry.reserve([0], {}, Here(), 1.0, token="old")
        server.will_answer(Answer(401, {"error": "expired"}), Answer(200, {"ok": 1}))
        hub.will_answer(Answer(200, token_answer(worker_token=new, server_url=server.url)))
        assert made.deliver(CALL) == {"ok": 1}
        assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer old", "Bearer " + new]
        row = registry.row(name)
        assert row is not None and row.worker_token == new and new not in repr(row)
        server.will_answer(*[Answer(401, {"error": "never"})] * 2)
        hub.will_answer(Answer(200, token_answer(server_url=server.url)))
        with pytest.raises(ServerRefused, match="never"):
            made.deliver(CALL)
        assert (len(hub.asked), len(server.asked)) == (2, 4)
        hub.will_answer(Answer(401, {"error": "revoked"}))
        server.will_answer(Answer(401, {"error": "never"}))
        with pytest.raises(HubRefused):
            made.deliver(CALL)
        assert made.refusal is not None and "does not know this key" in made.refusal


def test_a_worker_without_a_future_finishes_its_job_first(tmp_path: Path) -> None:
    idle = AgentBench(tmp_path / "idle")
    idle.reply()
    idle.agent.give_up("the Hub gives it no further token")
    idle.step_to_deadline()
    assert idle.agent.exit_status == 1
    busy = AgentBench(tmp_path / "busy")
    busy.reply(ALL, job(5))
    busy.agent.give_up("the Hub gives it no further token")
    busy.step_to_deadline()
    assert busy.agent.exit_status is None and busy.agent.status == "draining"
    busy.reply(ALL)
    busy.end_job()
    busy.reply(ALL)
    assert busy.agent.exit_status == 1


# ---- the token of a running script

def test_a_script_finds_the_renewed_token(tmp_path: Path) -> None:
    environ = free_env(tmp_path)
    registry, old, new = Registry("exp", environ), jwt(exp=100), jwt(exp=200)
    (name,) = registry.reserve([0], {}, Here(), 1.0, token=old)
    inside = dict(environ, JD_EXP_ID="exp", JD_WORKER_ID=name, JD_WORKER_TOKEN=old)
    assert script_token(inside) == old
    registry.store_token(Here().own, new, 5.0)
    assert script_token(inside) == new
    assert script_token(dict(inside, JD_WORKER_TOKEN=jwt(exp=300))) == jwt(exp=300)
    assert script_token(dict(inside, JD_WORKER_ID="other")) == old
    assert script_token(dict(inside, JD_WORKER_TOKEN="")) is None
    registry.path.write_bytes(b"no database")
    assert script_token(inside) == old
    assert script_token(dict(inside, JD_CACHE_PATH=str(tmp_path / "gone"))) == old


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "a.%s.c", "a.W10.c", "x" * 50])
def test_tokens_of_another_form(token: str) -> None:
    assert tokenfiles.claims(token) == {} and tokenfiles.expiry(token) == 0.0
    assert tokenfiles.lifetime(token) is None


# ---- people

def answers(*typed: str) -> Callable[[str], str]:
    left = list(typed)
    return lambda prompt: left.pop(0)


def refusal(status: int) -> List[Answer]:
    """What a Hub of the base protocol answers to a call and to the two questions who it is."""
    no_route = Answer(404, {"error": "no route"})
    return [Answer(status, {"error": "no"}), no_route, no_route]


HEALTH = {"status": "ok", "version": jd.__version__}


@pytest.mark.parametrize("answers", [
    refusal(404), refusal(429),
    [Answer(404, {"error": "no experiment"}), Answer(200, dict(HEALTH, service="jd_hub"))],
    # A Hub of the base protocol with a page for every path.
    [Answer(404, {"error": "no experiment"}), Answer(200, b"<html>", {"Content-Type": "text/html"})]])
def test_a_hub_that_has_no_such_experiment_knows_the_key(hub: StubServer, answers: List[Answer]) -> None:
    hub.will_answer(*answers)
    hubtoken.check_key(Access(hub.url, KEY))
    assert [asked.headers.get("Authorization") for asked in hub.asked][1:] == [None] * (len(answers) - 1)


@pytest.mark.parametrize("answers, words", [
    ([Answer(404, b"<html>404 Not Found nginx</html>", {"Content-Type": "text/html"})], "answered 404"),
    ([Answer(401, b"<html>401</html>")], "answered 401"), ([Answer(403, b"")], "answered 403"),
    ([Answer(429, b"")], "answered 429"), ([Answer(404, b"[]")], "answered 404"),
    ([Answer(200, {"whoever": "you are"})], "a token for an experiment that cannot exist"),
    ([Answer(404, {"error": "nothing here"}), Answer(200, dict(HEALTH, expId="exp", role="api"))],
     "is a job server, not a Hub"),
    ([Answer(404, {"error": "nothing here"}), Answer(200, dict(HEALTH, expId="exp", role="dashboard"))],
     "is a job server's dashboard, not a Hub"),
    ([Answer(404, {"error": "nothing here"}), Answer(404, {"error": "nothing here"}),
      Answer(200, {"PENDING": 1})], "is a job server, not a Hub")])
def test_what_is_no_hub_says_nothing_about_a_key(hub: StubServer, answers: List[Answer], words: str) -> None:
    hub.will_answer(*answers)
    with pytest.raises(hubtoken.NoHub) as caught:
        hubtoken.check_key(Access(hub.url, KEY))
    assert words in str(caught.value) and hub.url in str(caught.value)
    assert "check hub= or JD_HUB_URL" in str(caught.value)


def test_the_404_of_a_gateway_does_not_end_a_worker(hub: StubServer) -> None:
    """It is no Hub's word about the experiment: the Hub behind it is away, and is asked again."""
    hub.will_answer(Answer(404, b"default backend - 404"))
    with pytest.raises(ServerUnreachable):
        hubtoken.request(Access(hub.url, KEY), "exp")


def test_a_key_is_asked_for_three_times(hub: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"JD_HUB_URL": hub.url}
    no, yes = refusal(401), refusal(404)
    hub.will_answer(*no, *yes)
    assert checked_key(environ, answers("jd_wrong", "two words", KEY)) == KEY
    said = capsys.readouterr().err
    assert hub.url + "/api-keys" in said and said.count("error: ") == 2 and KEY not in said
    hub.will_answer(*no, *no, *no)
    with pytest.raises(HubRefused):
        checked_key(environ, answers("a", "b", "c"))
    hub.will_answer(*no, *yes)
    assert checked_key(dict(environ, JD_API_KEY="jd_old"), answers(KEY)) == KEY


def test_nobody_is_there_to_ask(hub: StubServer) -> None:
    with pytest.raises(UsageError, match="JD_API_KEY"):
        checked_key({"JD_HUB_URL": hub.url}, None)
    hub.will_answer(Answer(401, {"error": "who?"}))
    with pytest.raises(HubRefused):
        checked_key({"JD_HUB_URL": hub.url, "JD_API_KEY": "jd_x"}, None)


def test_a_typed_key_moves_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "jd.cli", "health", "api_key=jd_x"], raising=False)
    import sys
    moved = without_key(["cli", "health", "api_key=jd_x"])
    assert moved is not None
    assert moved[0] == [sys.executable, "-m", "jd.cli", "health"] and moved[1]["JD_API_KEY"] == "jd_x"
    unchanged: List[List[str]] = [["health"], ["health", "api_key="], ["nonsense", "api_key=jd_x"],
                                  ["health", "api_key=a", "api_key=b"]]
    for words in unchanged:
        assert without_key(["cli"] + words) is None
    monkeypatch.delattr("sys.orig_argv")
    found: Optional[Any] = without_key(["/bin/jd_worker_cli", "health", "api_key=jd_x"])
    assert found is not None and found[0][0] == sys.executable and found[0][-1] == "health"
