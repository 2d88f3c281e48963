"""Which keys a worker signs checkpoints with, and which it believes."""

import json
import socket
from pathlib import Path
from typing import Any, List

import pytest

from jd.auth import checkpointkey
from jd.auth.hubtoken import Grant
from jd.messages import Assignment, HeartbeatReply
from jd.net.peer import ownserver
from jd.protocol import HEARTBEAT
from jd.worker.attempt.calling import environment
from jd.worker.config import WorkerConfig, from_json
from jd.worker.uplink.callthread import BEAT, Call
from jd.worker.uplink.connection import KEYS_LAST, Connection
from jd.worker.uplink.tokenrenewal import Renewal
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env
from tests.users import Other, needs_root

TOLD = checkpointkey.of_token("what the server told")
GIVEN = checkpointkey.of_token("what the Hub gave")
TOKEN = "the-token-of-the-server-0123"
CALL = Call(BEAT, HEARTBEAT, {}, 10.0)


def config(tmp_path: Path, server: str, **more: Any) -> WorkerConfig:
    environ = more.pop("environ", {})
    return WorkerConfig("exp", tmp_path / "train.py", server, environ=free_env(tmp_path, **environ), **more)


def connection(tmp_path: Path, server: str, said: List[str], **more: Any) -> Connection:
    return Connection(config(tmp_path, server, **more), said.append, lambda: None)


def test_a_key_that_its_own_server_told(tmp_path: Path) -> None:
    with StubServer() as server:
        made = connection(tmp_path, server.url, [], environ={"JD_SERVER_TOKEN": TOKEN})
        assert made.checkpoint_keys() == [checkpointkey.of_token(TOKEN)]
        server.will_answer(Answer(200, {"checkpoint_key": TOLD}), Answer(200, {}))
        made.deliver(CALL)
        made.deliver(CALL)
        assert made.checkpoint_keys() == [checkpointkey.of_token(TOKEN), TOLD]


@pytest.mark.parametrize("key", ["", "short", 5, None, ["x"], TOLD.upper(), TOLD + "," + TOLD])
def test_what_is_no_key(tmp_path: Path, key: Any) -> None:
    with StubServer() as server:
        made = connection(tmp_path, server.url, [])
        server.will_answer(Answer(200, {"checkpoint_key": key}))
        made.deliver(CALL)
        assert made.checkpoint_keys() == []


def test_a_key_that_anybody_else_told_is_not_believed(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    said: List[str] = []
    monkeypatch.setattr(ownserver, "is_own", lambda connected: False)
    with StubServer() as server:
        made = connection(tmp_path, server.url, said)
        server.will_answer(*[Answer(200, {"checkpoint_key": TOLD})] * 2)
        made.deliver(CALL)
        made.deliver(CALL)
        assert made.checkpoint_keys() == [] and len(said) == 1
        assert "not used" in said[0] and TOLD not in said[0]


def test_the_kernel_is_asked_whose_server_it_is_for_the_sake_of_a_key(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: List[Any] = []

    def own(connected: socket.socket) -> bool:
        asked.append(connected)
        return True
    monkeypatch.setattr(ownserver, "is_own", own)
    other = checkpointkey.of_token("what another server told")
    with StubServer() as server:
        made = connection(tmp_path, server.url, [])
        for key, times in ((TOLD, 1), (TOLD, 1), (None, 1), (other, 1), (other, 2), (other, 2)):
            server.will_answer(Answer(200, {"checkpoint_key": key}))
            made.deliver(CALL)
            assert len(asked) == times
        assert made.checkpoint_keys() == [other, TOLD]


def test_files_with_keys_are_looked_at_again_after_a_while(tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("jd.worker.uplink.connection.time.monotonic", lambda: now[0])
    found = [[TOLD], [GIVEN]]
    monkeypatch.setattr(checkpointkey, "standalone", lambda experiment, environ: found.pop(0))
    made = connection(tmp_path, "http://127.0.0.1:9", [])
    assert made.checkpoint_keys() == made.checkpoint_keys() == [TOLD]
    now[0] = KEYS_LAST
    assert made.checkpoint_keys() == [GIVEN, TOLD]


def is_own(host: str, port: int) -> bool:
    with socket.create_connection((host, port), 10) as connected:
        return ownserver.is_own(connected)


@needs_root
def test_a_listener_of_another_user_is_not_ones_own() -> None:
    """What holds the port while the server is away."""
    def listen(say: Any) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            say(listener.getsockname()[1])
            while True:
                listener.accept()
    with Other(listen) as other:
        assert is_own("127.0.0.1", other.hear()) is False


def test_a_server_is_ones_own_on_loopback_alone() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert is_own("127.0.0.1", port) is True
        others = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
        for address in others:
            assert is_own(address, port) is address.startswith("127.")


def test_what_a_server_said_that_has_gone_is_nobodys() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        connected = socket.create_connection(listener.getsockname(), 10)
        accepted, _ = listener.accept()
    accepted.close()
    with connected:
        assert ownserver.is_own(connected) is False


def test_a_proxy_is_not_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One on loopback may be ones own, and whoever is behind it is not."""
    with StubServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        made = connection(tmp_path, "http://node7.example:5000", [])
        proxy.will_answer(Answer(200, {"checkpoint_key": TOLD}))
        made.deliver(CALL)
        assert len(proxy.asked) == 1 and made.checkpoint_keys() == []


def test_with_a_hub_its_key_and_the_one_of_the_api_key(tmp_path: Path) -> None:
    environ = {"JD_API_KEY": "jd_x", "JD_SERVER_TOKEN": TOKEN}
    own = checkpointkey.of_api_key("jd_x")
    for key, expected in ((GIVEN, [GIVEN, own]), (None, [own])):
        grant = Grant("t", "http://127.0.0.1:9", 0.0, 3600.0, 300.0, key)
        made = connection(tmp_path, "http://127.0.0.1:9", [], environ=environ, hub="http://hub", grant=grant)
        assert made.checkpoint_keys() == expected


def test_with_a_hub_no_job_server_tells_a_key(tmp_path: Path) -> None:
    with StubServer() as server:
        grant = Grant("t", server.url, 0.0, 3600.0, 300.0, GIVEN)
        made = connection(tmp_path, server.url, [], environ={"JD_API_KEY": "jd_x"},
                          hub="http://hub", grant=grant)
        server.will_answer(Answer(200, {"checkpoint_key": TOLD}))
        made.deliver(CALL)
        assert TOLD not in made.checkpoint_keys()


def test_renewal_keeps_the_key() -> None:
    def ask() -> Grant:
        return Grant("new", "http://s", 0.0, 3600.0, 300.0, None)
    renewal = Renewal(Grant("old", "http://s", 0.0, 1.0, 0.0, GIVEN), ask, lambda _: None, lambda _: None,
                      lambda: None)
    renewal.renew("old")
    assert (renewal.current.token, renewal.current.checkpoint_key) == ("new", GIVEN)


def test_a_script_gets_them_and_a_registry_does_not(tmp_path: Path) -> None:
    launched = config(tmp_path, "http://s:1", environ={"JD_CHECKPOINT_KEY": TOLD})
    told = environment.handed_on(launched.environ), launched, Assignment(1, {}), "n_egg_0", None
    environ = environment.job_environment(*told, keys=[GIVEN, TOLD])
    assert checkpointkey.of_script("exp", environ) == [GIVEN, TOLD]
    environ = environment.job_environment(*told)
    assert "JD_CHECKPOINT_KEY" not in environ, "it is of the job that this worker was launched in"
    stored = json.dumps(launched.to_json())
    assert TOLD not in stored and TOLD not in repr(launched)
    assert TOLD not in repr([HeartbeatReply(checkpoint_key=TOLD)])
    assert "JD_CHECKPOINT_KEY" not in from_json(json.loads(stored), free_env(tmp_path)).environ
