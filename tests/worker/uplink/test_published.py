"""server=@path and access files: waited for, read, and read again when the server is away."""

import socket
from pathlib import Path
from typing import Any, List

import pytest

from jd import messages, protocol, settingvalues
from jd.auth import tokentosend
from jd.cli.commands.run import configuration
from jd.cli.context import Context
from jd.cli.main import parse
from jd.errors import ServerRefused, ServerUnreachable, StorageError
from jd.net.finding import accessfile, published
from jd.net.finding.accessfile import Place as AccessPlace
from jd.net.finding.accessfile import Seat
from jd.worker.config import from_json
from jd.worker.uplink import tokenrenewal
from jd.worker.uplink.callthread import CLAIM, Call
from jd.worker.uplink.connection import Connection
from tests.e2e.processes import Server
from tests.support import free_env, wait_until
from tests.worker.fake_server import FakeServer


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Clock:
    """Time passes while somebody sleeps; `events` happen then."""

    def __init__(self, *events: Any) -> None:
        self.now = 0.0
        self.events = list(events)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.events:
            self.events.pop(0)()


@pytest.mark.parametrize("content, place", [
    ("http://n1:5001\n", ("http://n1:5001", None)),
    ("n1\n", ("http://n1:5000", None)),
    ("# of job 4711\n\nhttps://n1:1\n/home/me/token file\n", ("https://n1:1", "/home/me/token file")),
    ("http://n1:1", ("http://n1:1", None))])
def test_what_a_file_says(tmp_path: Path, content: str, place: Any) -> None:
    path = tmp_path / "server.url"
    path.write_text(content)
    assert published.read(path) == published.Place(*place)


@pytest.mark.parametrize("content", ["", "\n", "# soon\n"])
def test_a_file_that_says_nothing_yet(tmp_path: Path, content: str) -> None:
    path = tmp_path / "server.url"
    assert published.read(path) is None
    path.write_text(content)
    assert published.read(path) is None


@pytest.mark.parametrize("content", [b"ftp://n1\n", b"\xff\xfe", b"http://n1:port\n"])
def test_a_file_that_says_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.url"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="server=@.*server.url"):
        published.read(path)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Is a directory"):
        published.read(tmp_path)


def test_the_file_is_waited_for(tmp_path: Path) -> None:
    path, said = tmp_path / "server.url", []  # type: ignore[var-annotated]
    clock = Clock(lambda: None, lambda: path.write_text("http://n1:1\n"))
    assert published.wait_for(path, said.append, 10.0, clock, clock.sleep).url == "http://n1:1"
    assert said == ["waiting up to 10s for %s, which the job server writes" % path]


def test_not_for_ever(tmp_path: Path) -> None:
    path, clock = tmp_path / "server.url", Clock()
    with pytest.raises(StorageError, match="no such file came within 10s.*--publish-url"):
        published.wait_for(path, lambda line: None, 10.0, clock, clock.sleep)
    assert clock.now == 10.0


def test_what_a_file_that_is_not_there_can_be(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        published.now(tmp_path / "nope")
    assert "jd_server --publish-url %s/nope writes" % tmp_path in str(refused.value)
    assert "or a copy of the server's access file" in str(refused.value)
    with pytest.raises(StorageError, match="jd_server --expId digits writes it, or it can be a copy"):
        published.now(tmp_path / "digits.json")


def test_a_token_of_the_launch_wins_over_that_of_the_file() -> None:
    place = published.Place("http://n1:1", "/t")
    assert tokentosend.with_token_file({}, place) == {"JD_SERVER_TOKEN_FILE": "/t"}
    for own in ({"JD_SERVER_TOKEN": "x" * 16}, {"JD_SERVER_TOKEN_FILE": "/mine"}):
        assert tokentosend.with_token_file(own, place) == own
    assert tokentosend.with_token_file({}, published.Place("http://n1:1")) == {}


@pytest.mark.parametrize("text", ["@", "@a\0b", "ftp://x", ""])
def test_a_place_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError):
        settingvalues.server_place(text)


def test_a_relative_path_is_that_of_the_launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settingvalues.server_place("@here/url") == "@%s/here/url" % tmp_path
    assert settingvalues.with_port("@/x", 7) == "@/x"


def launched(tmp_path: Path, **environ: Any) -> Any:
    script = tmp_path / "train.py"
    script.write_text("")
    return configuration({"expId": "exp", "entry_script": str(script),
                          "server": "@%s" % (tmp_path / "server.url")}, free_env(tmp_path, **environ))


def claim() -> Call:
    return Call(CLAIM, protocol.HEARTBEAT, messages.Heartbeat("w").to_json(), 10.0)


def test_a_server_that_moved_is_found(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    token = tmp_path / "token"
    token.write_text("t" * 20)
    token.chmod(0o600)
    gone = "http://127.0.0.1:%d" % closed_port()
    path.write_text("%s\n%s\n" % (gone, token))
    config = tokenrenewal.authorised(launched(tmp_path))
    assert config.server == gone and config.server_file == path
    logged: List[str] = []
    connection = Connection(config, logged.append, lambda: None)
    assert connection.server == gone
    with pytest.raises(ServerUnreachable):
        connection.deliver(claim())
    assert logged == []
    with FakeServer() as server:
        path.write_text(server.url + "\n")
        with pytest.raises(ServerUnreachable):
            connection.deliver(claim())
        assert logged == ["the job server is now at " + server.url]
        connection.deliver(claim())
        assert (connection.server, connection.shown) == (server.url, server.url)
        assert server.tokens == ["Bearer " + "t" * 20]


def test_a_file_that_cannot_be_read_any_more_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    path.write_text("http://127.0.0.1:%d\n" % closed_port())
    logged: List[str] = []
    connection = Connection(tokenrenewal.authorised(launched(tmp_path)), logged.append, lambda: None)
    path.write_text("nonsense://\n")
    for _ in range(3):
        with pytest.raises(ServerUnreachable):
            connection.deliver(claim())
    assert len(logged) == 1 and "server.url" in logged[0]


def test_other_commands_take_it_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    line = parse(["expId=exp", "server-info", "server=@%s" % path])
    with pytest.raises(StorageError, match="there is no such file yet"):
        Context(line, free_env(tmp_path)).client()
    path.write_text("http://n1:77\n")
    assert Context(line, free_env(tmp_path)).server() == "http://n1:77"


def test_a_stored_launch_knows_its_file(tmp_path: Path) -> None:
    config = launched(tmp_path, JD_END_TIME="5")
    again = from_json(config.to_json(), {"JD_END_TIME": "7"})
    assert again.server_file == tmp_path / "server.url"
    assert again.environ["JD_END_TIME"] == "7"  # that of the batch job in which restart is typed
    assert "JD_END_TIME" not in str(config.to_json()["environ"])


# ---- access files

TOKEN = "the-token-of-an-access-file"


def access(path: Path, url: str, token: str = TOKEN, **changes: Any) -> None:
    place = AccessPlace("exp", "id", (url,), "head", Seat.own(), token)
    accessfile.write(path, place.but(**changes))


def test_an_access_file_can_be_named_too(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    access(path, "http://n1:5001", certificate="PEM")
    place = published.now(path)
    assert (place.url, tokentosend.bearer(place, {}), place.certificate) == ("http://n1:5001", TOKEN, "PEM")
    path.chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        published.now(path)


def test_a_launch_waits_while_the_file_is_that_of_a_killed_server(tmp_path: Path) -> None:
    path, said = tmp_path / "exp.json", []  # type: ignore[var-annotated]
    access(path, "http://n1:1", seat=Seat.own()._replace(started="0"))
    clock = Clock(lambda: access(path, "http://n1:2"))
    assert published.wait_for(path, said.append, 10.0, clock, clock.sleep).url == "http://n1:2"
    assert len(said) == 1
    access(path, "http://n1:1", seat=Seat.own()._replace(started="0"))
    with pytest.raises(published.Stale, match="was killed"):
        published.wait_for(path, lambda line: None, 10.0, clock, clock.sleep)


def test_the_first_url_that_answers_for_the_experiment(tmp_path: Path) -> None:
    path = tmp_path / "exp.json"
    gone = "http://127.0.0.1:%d" % closed_port()
    with Server(tmp_path) as server:
        access(path, gone, urls=(gone, server.url, "http://n1:1"))
        assert published.now(path).url == server.url
        access(path, gone, urls=(gone, server.url), experiment="other")
        assert published.now(path).url == gone  # what answers serves something else
        place = published.read(path, server.url)
        assert place is not None and place.url == server.url  # known to work


def found_launch(tmp_path: Path) -> Any:
    script = tmp_path / "train.py"
    script.write_text("")
    return configuration({"expId": "exp", "entry_script": str(script)}, free_env(tmp_path))


def test_a_worker_follows_the_access_file_to_another_url_and_token(tmp_path: Path) -> None:
    path = accessfile.path_of("exp", free_env(tmp_path))
    gone = "http://127.0.0.1:%d" % closed_port()
    access(path, gone)
    logged: List[str] = []
    connection = Connection(tokenrenewal.authorised(found_launch(tmp_path)), logged.append, lambda: None)
    assert (connection.server, connection.token()) == (gone, TOKEN)
    with FakeServer() as server:
        access(path, server.url, "a-token-of-its-successor")
        with pytest.raises(ServerUnreachable):
            connection.deliver(claim())
        assert logged == ["the job server is now at " + server.url]
        connection.deliver(claim())
        assert server.tokens == ["Bearer a-token-of-its-successor"]


def test_another_token_at_the_same_url_is_taken_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("n" * 20)
    with Server(tmp_path, "--token-file", token) as server:
        path = accessfile.path_of("exp", free_env(tmp_path))
        wait_until(path.exists)
        access(path, server.url)
        connection = Connection(tokenrenewal.authorised(found_launch(tmp_path)), lambda line: None,
                                lambda: None)
        with pytest.raises(ServerRefused, match="401"):
            connection.deliver(claim())
        access(path, server.url, "n" * 20)
        assert isinstance(connection.deliver(claim()), dict)


def test_a_launch_without_the_file_means_this_machine_and_looks_again_later(tmp_path: Path) -> None:
    config = tokenrenewal.authorised(found_launch(tmp_path))
    assert config.server == "http://localhost:5000" and config.place is None
    again = from_json(config.to_json(), free_env(tmp_path))
    assert again.found and again.server_file == config.server_file
    assert config.server_file is not None
    access(config.server_file, "http://127.0.0.1:7")
    assert tokenrenewal.authorised(again).server == "http://127.0.0.1:7"
