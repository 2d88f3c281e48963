"""The Hub's routes, called through the router: no sockets, a clock set by hand."""

import json
import logging
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd.auth import jwt
from jd.errors import StorageError
from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.store import accounts, experiments
from jd.protocol import ProtocolError
from tests.hub.hub_support import ALICE, BOB, EXPERIMENTS, SERVER, TOKEN, Bench, mentions

EXP = EXPERIMENTS + "/exp"
# Every route that wants a key, with a body that it takes.
ROUTES = [
    ("POST", TOKEN, {"experiment_name": "exp"}),
    ("POST", EXPERIMENTS, {"name": "new"}),
    ("GET", EXP, None),
    ("DELETE", EXP, None),
    ("GET", EXP + "/runtime-config", None),
    ("POST", EXP + "/register", {"server_url": SERVER}),
    ("POST", EXP + "/heartbeat", {}),
    ("GET", EXP + "/revoked-tokens", None),
    ("POST", EXP + "/revoke-token", {"jti": "x"}),
]
OF_ONE_EXPERIMENT = [route for route in ROUTES if route[1] != EXPERIMENTS]


class People:
    """Alice with her experiment, and Bob; both have a key."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.alice_id, self.alice = bench.user(ALICE)
        self.bob_id, self.bob = bench.user(BOB)
        self.exp = bench.experiment("exp", self.alice_id)

    def secret(self) -> str:
        config = self.bench.call("GET", EXP + "/runtime-config", self.alice).body
        return str(config["worker_shared_secret"])

    def share(self, role: str = "work") -> None:
        self.bench.write(experiments.share, "exp", BOB, role, None, "test")


@pytest.fixture
def people(bench: Bench) -> People:
    return People(bench)


def snapshot(bench: Bench) -> List[str]:
    """All rows, without when a key was used."""
    return [line for line in bench.data.database.read(lambda db: list(db.iterdump())).result(10)
            if not line.startswith('INSERT INTO "api_keys"')]


# ---- tokens

def test_a_worker_gets_a_token_that_its_server_verifies(bench: Bench, people: People) -> None:
    status, body, _ = bench.token(people.alice)
    assert status == 200
    assert set(body) == {"worker_token", "server_url", "exp_name", "expires_at", "refresh_margin_secs",
                         "checkpoint_key"}
    assert (body["server_url"], body["exp_name"], body["expires_at"], body["refresh_margin_secs"]) == (
        SERVER, "exp", bench.now + 3600, 300)
    claims = jwt.verify(body["worker_token"], people.secret(), bench.now)
    jti = claims.pop("jti")
    assert claims == {"sub": "worker", "exp_id": people.exp.id, "exp_name": "exp",
                      "user_id": people.alice_id, "role": "owner", "iat": bench.now, "exp": bench.now + 3600}
    again = jwt.verify_worker(bench.token(people.alice).body["worker_token"], people.secret(), bench.now)
    assert len(jti) == 32 and again.jti != jti
    with pytest.raises(jwt.ExpiredToken):
        jwt.verify(body["worker_token"], people.secret(), bench.now + 3600 + jwt.LEEWAY)


def test_all_keys_and_experiments_of_a_user_have_one_checkpoint_key_and_other_users_another(
        bench: Bench, people: People, tmp_path: Path) -> None:
    people.share()
    bench.experiment("other", people.alice_id)
    second = bench.key(ALICE, "cluster")
    own = {bench.token(key, name).body["checkpoint_key"]
           for key in (people.alice, second) for name in ("exp", "other")}
    assert len(own) == 1 and re.fullmatch("[0-9a-f]{64}", min(own))
    assert bench.token(people.bob).body["checkpoint_key"] not in own
    elsewhere = Bench(tmp_path / "elsewhere")
    try:
        assert People(elsewhere).alice_id == people.alice_id
        assert elsewhere.token(elsewhere.key(ALICE, "b")).body["checkpoint_key"] not in own
    finally:
        elsewhere.data.close()


def test_the_checkpoint_key_outlives_the_hub_and_what_it_is_made_of_is_told_to_nobody(bench: Bench,
                                                                                      people: People) -> None:
    key = bench.token(people.alice).body["checkpoint_key"]
    secret = bench.read(lambda db: db.execute(
        "SELECT value FROM settings WHERE name = 'checkpoint_secret'").fetchone()[0])
    bench.data.close()
    bench.data = HubData(bench.data.directory, create=False, clock=lambda: bench.now)
    assert stat.S_IMODE((bench.data.directory / "hub.db").stat().st_mode) == 0o600
    bench.hub = Hub(bench.data)
    answer = bench.token(people.alice)
    assert answer.body["checkpoint_key"] == key and secret not in json.dumps(answer.body)
    assert not mentions(answer.body["worker_token"], [key])


@pytest.mark.parametrize("name", ["nope", "__jd_key_check__", "", "exp ", "../exp", "x" * 5000,
                                  "exp' OR '1'='1", "exp\u0000", "\u00e4", "%65xp"])
def test_any_name_that_is_no_experiment_is_404_which_tells_that_the_key_is_good(bench: Bench, people: People,
                                                                                name: str) -> None:
    answer = bench.token(people.alice, name)
    assert answer.status == 404 and answer.body["error"] and answer.body["success"] is False
    assert bench.token("jd_" + "x" * 40, name).status == 401


@pytest.mark.parametrize("body", [{}, [], "exp", {"experiment_name": None}, {"experiment_name": 5},
                                  {"experiment_name": ["exp"]}])
def test_requests_for_a_token_that_are_400(bench: Bench, people: People, body: Any) -> None:
    assert bench.call("POST", TOKEN, people.alice, body).status == 400
    assert bench.call("POST", TOKEN, people.alice, raw=b"{").status == 400
    assert bench.call("POST", TOKEN, people.alice, raw=b"{}", content_type="text/plain").status == 415


def test_an_experiment_without_a_server_is_503(bench: Bench, people: People) -> None:
    bench.experiment("empty", people.alice_id, server=None)
    answer = bench.token(people.alice, "empty")
    assert answer.status == 503 and "no job server yet" in answer.body["error"]
    assert answer.headers["Retry-After"] == "30"
    bench.call("POST", EXPERIMENTS + "/empty/register", people.alice, {"server_url": SERVER})
    assert bench.token(people.alice, "empty").status == 200


def test_a_deleted_experiment_is_403(bench: Bench, people: People) -> None:
    people.share()
    assert bench.call("DELETE", EXP, people.alice).status == 200
    for key in (people.alice, people.bob):
        answer = bench.token(key)
        assert answer.status == 403 and "deleted" in answer.body["error"]


def test_a_suspended_owners_experiment_is_403_for_friends(bench: Bench, people: People) -> None:
    people.share()
    assert bench.token(people.bob).status == 200
    bench.write(accounts.suspend, ALICE, "test")
    assert bench.token(people.bob).status == 403


def test_too_many_tokens_are_429_with_the_time_to_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path, limit=2)
    try:
        people = People(bench)
        other = bench.key(ALICE, "other")
        assert [bench.token(people.alice).status for _ in range(2)] == [200, 200]
        bench.ticks = 20.0
        answer = bench.token(people.alice)
        assert answer.status == 429 and answer.headers["Retry-After"] == "40"
        assert bench.token(other).status == 200
        assert bench.call("GET", EXP, people.alice).status == 200
        bench.ticks = 60.0
        assert bench.token(people.alice).status == 200
    finally:
        bench.data.close()


def test_a_key_that_is_revoked_while_a_request_is_under_way_gets_no_token(
        bench: Bench, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    real = accounts.key_used

    def revoke_meanwhile(db: sqlite3.Connection, key_id: int, now: float) -> None:
        accounts.revoke_key(db, key_id, "test", now)
        real(db, key_id, now)
    monkeypatch.setattr(accounts, "key_used", revoke_meanwhile)
    assert bench.token(people.alice).status == 403


# ---- keys

@pytest.mark.parametrize("method, path, body", ROUTES)
def test_every_route_wants_a_known_key(bench: Bench, people: People, method: str, path: str,
                                       body: Optional[Dict[str, str]]) -> None:
    before = snapshot(bench)
    for key in (None, "", "nonsense", "jd_" + "x" * 40, people.alice[:-1], people.alice + "x",
                people.alice.upper(), people.alice + " x"):
        answer = bench.call(method, path, key, body)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer", key
        assert "key" in answer.body["error"]
    basic = bench.call(method, path, None, body, authorization="Basic " + people.alice)
    assert basic.status == 401
    assert snapshot(bench) == before


@pytest.mark.parametrize("method, path, body", ROUTES)
def test_revoked_keys_are_401_and_suspended_users_403_at_once(bench: Bench, people: People, method: str,
                                                              path: str,
                                                              body: Optional[Dict[str, str]]) -> None:
    spare = bench.key(ALICE, "spare")
    bench.write(accounts.suspend, ALICE, "test")
    answer = bench.call(method, path, spare, body)
    assert answer.status == 403 and "suspended" in answer.body["error"]
    bench.write(accounts.resume, ALICE, "test")
    assert bench.call(method, path, spare, body).status != 403
    bench.write(accounts.revoke_key, 3, "test")
    assert bench.call(method, path, spare, body).status == 401


def test_the_use_of_a_key_is_noted_once_a_minute(bench: Bench, people: People) -> None:
    def used() -> Optional[float]:
        return bench.read(accounts.list_keys)[0].last_used_at
    assert used() is None
    first = bench.now
    bench.call("GET", EXP, people.alice)
    bench.now += 59
    bench.call("GET", EXP, people.alice)
    assert used() == first
    bench.now += 1
    bench.call("GET", EXP, people.alice)
    assert used() == first + 60


def test_a_full_disk_keeps_nobody_from_reading(bench: Bench, people: People,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_db: sqlite3.Connection, _key_id: int, _now: float) -> None:
        raise StorageError("disk is full")
    monkeypatch.setattr(accounts, "key_used", full)
    assert bench.call("GET", EXP, people.alice).status == 200


# ---- other people

@pytest.mark.parametrize("method, path, body", OF_ONE_EXPERIMENT)
def test_an_experiment_of_somebody_else_is_not_there(bench: Bench, people: People, method: str, path: str,
                                                     body: Optional[Dict[str, str]]) -> None:
    before = snapshot(bench)
    answer = bench.call(method, path, people.bob, body)
    assert answer.status == 404
    if path == TOKEN:
        missing = bench.token(people.bob, "none")
    else:
        missing = bench.call(method, EXPERIMENTS + "/none" + path[len(EXP):], people.bob, body)
    assert missing.status == 404  # and nothing tells the two apart
    assert missing.body["error"].replace("'none'", "'exp'") == answer.body["error"]
    assert snapshot(bench) == before


@pytest.mark.parametrize("method, path, body", OF_ONE_EXPERIMENT)
def test_a_shared_one_can_be_read_and_worked_for_and_nothing_more(bench: Bench, people: People, method: str,
                                                                  path: str,
                                                                  body: Optional[Dict[str, str]]) -> None:
    people.share()
    before = snapshot(bench)
    answer = bench.call(method, path, people.bob, body)
    if path == TOKEN or (method, path) == ("GET", EXP):
        assert answer.status == 200
    else:
        assert answer.status == 403 and ALICE in answer.body["error"]
        assert snapshot(bench) == before


@pytest.mark.parametrize("role", ["work", "edit"])
def test_a_guests_token_says_what_it_is_good_for(bench: Bench, people: People, role: str) -> None:
    people.share(role)
    claims = jwt.verify(bench.token(people.bob).body["worker_token"], people.secret(), bench.now)
    assert (claims["user_id"], claims["role"]) == (people.bob_id, role)
    config = bench.call("GET", EXP + "/runtime-config", people.alice).body
    assert (config["owner_id"], config["owner"]) == (people.alice_id, ALICE)


def test_a_share_that_is_taken_back_ends_its_tokens(bench: Bench, people: People) -> None:
    people.share()
    jti = jwt.verify(bench.token(people.bob).body["worker_token"], people.secret(), bench.now)["jti"]
    bench.write(experiments.unshare, "exp", BOB, None, "test")
    assert bench.token(people.bob).status == 404
    assert bench.call("GET", EXP + "/revoked-tokens", people.alice).body == {"revoked_jtis": [jti]}


def test_a_token_of_another_experiment_cannot_be_revoked_or_seen(bench: Bench, people: People) -> None:
    bench.experiment("bobs", people.bob_id)
    token = bench.token(people.alice).body["worker_token"]
    jti = jwt.verify(token, people.secret(), bench.now)["jti"]
    assert bench.call("POST", EXPERIMENTS + "/bobs/revoke-token", people.bob, {"jti": jti}).status == 404
    bench.call("POST", EXP + "/revoke-token", people.alice, {"jti": jti})
    assert bench.call("GET", EXPERIMENTS + "/bobs/revoked-tokens", people.bob).body == {"revoked_jtis": []}


# ---- experiments

def test_an_experiment_is_created_shown_and_deleted(bench: Bench, people: People) -> None:
    status, made, _ = bench.call("POST", EXPERIMENTS, people.alice, {"name": "digits-tune", "later": 1})
    assert status == 201
    assert set(made) == {"experiment_id", "name", "server_url", "dashboard_url", "message"}
    assert (made["name"], made["server_url"], made["dashboard_url"]) == ("digits-tune", None, None)
    path = EXPERIMENTS + "/digits-tune"
    assert bench.call("GET", path, people.alice).body == {
        "id": made["experiment_id"], "name": "digits-tune", "status": "active", "server_url": None,
        "dashboard_url": None, "created_at": bench.now, "last_activity": bench.now}
    for key in (people.alice, people.bob):
        assert bench.call("POST", EXPERIMENTS, key, {"name": "digits-tune"}).status == 409
    for _ in range(2):  # whose answer was lost asks again
        assert bench.call("DELETE", path, people.alice).status == 200
    assert bench.call("GET", path, people.alice).body["status"] == "deleted"
    assert bench.call("POST", EXPERIMENTS, people.bob, {"name": "digits-tune"}).status == 409
    again = bench.call("POST", EXPERIMENTS, people.alice, {"name": "digits-tune"})
    assert again.status == 201 and again.body["experiment_id"] != made["experiment_id"]


@pytest.mark.parametrize("body", [{}, [], {"name": ""}, {"name": "a"}, {"name": "Big"}, {"name": "a" * 48},
                                  {"name": "a/b"}, {"name": ".."}, {"name": "a\n"}, {"name": 5},
                                  {"name": None}, {"name": "x'); DROP TABLE users;--"}])
def test_bad_names_are_400(bench: Bench, people: People, body: Any) -> None:
    before = snapshot(bench)
    assert bench.call("POST", EXPERIMENTS, people.alice, body).status == 400
    assert snapshot(bench) == before


@pytest.mark.parametrize("segment", ["..", "%2e%2e", "..%2fexp", "exp%2f..", "exp'--",
                                     "exp%27%20OR%201=1", "%25", "ex_", "x" * 3000])
def test_paths_that_are_no_experiment(bench: Bench, people: People, segment: str) -> None:
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/runtime-config"), ("POST", "/heartbeat")):
        assert bench.call(method, "%s/%s%s" % (EXPERIMENTS, segment, tail), people.alice).status in (400, 404)
    assert bench.call("GET", EXP, people.alice).body["status"] == "active"


# ---- job servers

def test_a_server_fetches_its_secret_registers_and_beats(bench: Bench, people: People) -> None:
    bench.experiment("new", people.alice_id, server=None)
    path = EXPERIMENTS + "/new"
    config = bench.call("GET", path + "/runtime-config", people.alice).body
    assert (config["server_url"], config["dashboard_url"]) == (None, None)
    assert len(config["worker_shared_secret"]) >= 64
    status, body, _ = bench.call("POST", path + "/register", people.alice, {
        "server_url": "http://node7:5000/", "dashboard_url": "https://dash.example/x"})
    assert status == 200 and body["status"] == "active"
    bench.now += 60
    status, body, _ = bench.call("POST", path + "/heartbeat", people.alice)
    assert (status, body) == (200, {"status": "active"})
    assert bench.call("POST", path + "/heartbeat", people.alice, {
        "experiment_id": config["experiment_id"]}).status == 200
    shown = bench.call("GET", path, people.alice).body
    assert (shown["server_url"], shown["dashboard_url"], shown["last_activity"]) == (
        "http://node7:5000", "https://dash.example/x", bench.now)
    again = bench.call("GET", path + "/runtime-config", people.alice).body
    assert again["worker_shared_secret"] == config["worker_shared_secret"]
    assert again["server_url"] == "http://node7:5000"


@pytest.mark.parametrize("body", [
    {}, [], {"server_url": ""}, {"server_url": 5}, {"server_url": "node7:5000"}, {"server_url": "node7"},
    {"server_url": "ftp://node7"}, {"server_url": "javascript://x/%0aalert(1)"}, {"server_url": "http://"},
    {"server_url": "http://a:b@node7"}, {"server_url": "http://node7/ x"}, {"server_url": "http://n\u00f6de"},
    {"server_url": "http://node7\n"}, {"server_url": "http://node7:99999"}, {"server_url": "http://n?x"},
    {"server_url": "http://" + "n" * 500}, {"server_url": SERVER, "dashboard_url": "data:text/html,x"},
    {"dashboard_url": SERVER}])
def test_urls_that_nobody_should_be_sent_to_are_400(bench: Bench, people: People, body: Any) -> None:
    assert bench.call("POST", EXP + "/register", people.alice, body).status == 400
    assert bench.call("GET", EXP, people.alice).body["server_url"] == SERVER


def test_a_deleted_experiment_stops_its_server_and_ends_its_tokens(bench: Bench, people: People) -> None:
    token = bench.token(people.alice).body["worker_token"]
    jti = jwt.verify(token, people.secret(), bench.now)["jti"]
    bench.call("DELETE", EXP, people.alice)
    for method, tail, body in (("POST", "/heartbeat", {}), ("GET", "/runtime-config", None),
                               ("POST", "/register", {"server_url": SERVER})):
        answer = bench.call(method, EXP + tail, people.alice, body)
        assert answer.status == 403 and "deleted" in answer.body["error"], tail
    assert bench.call("GET", EXP + "/revoked-tokens", people.alice).body == {"revoked_jtis": [jti]}
    # The name lives again, the old server's data does not.
    bench.call("POST", EXPERIMENTS, people.alice, {"name": "exp"})
    of_old = {"experiment_id": people.exp.id}
    assert bench.call("POST", EXP + "/heartbeat", people.alice, of_old).status == 403
    assert bench.call("GET", EXP + "/revoked-tokens", people.alice).body == {"revoked_jtis": [jti]}
    with pytest.raises(jwt.BadSignature):
        jwt.verify(token, people.secret(), bench.now)


def test_one_token_is_revoked(bench: Bench, people: People) -> None:
    jtis = [jwt.verify(bench.token(people.alice).body["worker_token"], people.secret(), bench.now)["jti"]
            for _ in range(3)]
    for _ in range(2):
        assert bench.call("POST", EXP + "/revoke-token", people.alice, {"jti": jtis[1]}).status == 200
    assert bench.call("GET", EXP + "/revoked-tokens", people.alice).body == {"revoked_jtis": [jtis[1]]}
    assert bench.call("POST", EXP + "/revoke-token", people.alice, {"jti": "unknown"}).status == 404
    for body in ({}, {"jti": 5}, {"jti": ""}, {"jti": "x" * 300}):
        assert bench.call("POST", EXP + "/revoke-token", people.alice, body).status == 400
    bench.now += 3600 + 600
    assert bench.call("GET", EXP + "/revoked-tokens", people.alice).body == {"revoked_jtis": []}


# ---- the whole

def test_health_is_public_and_all_else_is_guarded(bench: Bench) -> None:
    assert bench.call("GET", "/healthz").body["status"] == "ok"
    for_programs = [route for route in bench.hub.router.routes
                    if route.pattern.startswith(("/api/", "/healthz"))]
    assert [route.pattern for route in for_programs if route.public] == ["/healthz"]
    assert len(for_programs) == len(ROUTES) + 1
    assert bench.call("GET", "/none").status == 404
    assert bench.call("PUT", EXP, "x").status == 405


def test_bodies_have_a_limit(bench: Bench, people: People) -> None:
    assert bench.call("POST", EXPERIMENTS, people.alice, raw=b" " * 70_000).status == 413


def test_pages_of_other_sites_cannot_write(bench: Bench, people: People) -> None:
    assert bench.call("DELETE", EXP, people.alice, origin="https://evil.example").status == 403
    assert bench.call("GET", EXP, people.alice).body["status"] == "active"


def test_logs_and_errors_hold_no_secret(bench: Bench, people: People, caplog: pytest.LogCaptureFixture,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [people.alice, people.bob, people.secret(),
               bench.token(people.alice).body["worker_token"]]
    said = []
    for method, path, body in ROUTES:
        for key in (people.bob, people.alice + "x", people.alice):
            said.append(str(bench.call(method, path, key, body)[1:]))
    monkeypatch.setattr(experiments, "find", lambda *_: 1 / 0)
    broken = bench.call("GET", EXP, people.alice)
    assert broken.status == 500 and "ZeroDivisionError" in caplog.text
    allowed = [line for line in said if "worker_shared_secret" not in line and "worker_token" not in line]
    assert len(allowed) >= len(said) - 3
    assert mentions("\n".join(allowed) + caplog.text + str(broken), secrets) == []


def test_the_names_check_of_the_store_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        experiments.check_name("Bad")
