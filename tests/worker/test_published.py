"""server=@path: the file is waited for, read, and read again when the server is away."""

import socket
from pathlib import Path
from typing import Any, List

import pytest

from jd import protocol, settings
from jd.cli.commands.run import configuration
from jd.cli.main import parse
from jd.cli.context import Context
from jd.errors import ServerUnreachable, StorageError
from jd.net import published
from jd.worker import renewal
from jd.worker.connection import Connection
from jd.worker.courier import CLAIM, Call
from tests.support import free_env
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
    assert published.read(path) == place


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


def test_a_token_of_the_launch_wins_over_that_of_the_file() -> None:
    place = published.Place("http://n1:1", "/t")
    assert published.with_token_file({}, place) == {"JD_SERVER_TOKEN_FILE": "/t"}
    for own in ({"JD_SERVER_TOKEN": "x" * 16}, {"JD_SERVER_TOKEN_FILE": "/mine"}):
        assert published.with_token_file(own, place) == own
    assert published.with_token_file({}, place._replace(token_file=None)) == {}


@pytest.mark.parametrize("text", ["@", "@a\0b", "ftp://x", ""])
def test_a_place_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError):
        settings.server_place(text)


def test_a_relative_path_is_that_of_the_launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.server_place("@here/url") == "@%s/here/url" % tmp_path
    assert settings.with_port("@/x", 7) == "@/x"


def launched(tmp_path: Path, **environ: Any) -> Any:
    script = tmp_path / "train.py"
    script.write_text("")
    return configuration({"expId": "exp", "entry_script": str(script),
                          "server": "@%s" % (tmp_path / "server.url")}, free_env(tmp_path, **environ))


def claim() -> Call:
    return Call(CLAIM, protocol.HEARTBEAT, protocol.Heartbeat("w").to_json(), 10.0)


def test_a_server_that_moved_is_found(tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    token = tmp_path / "token"
    token.write_text("t" * 20)
    gone = "http://127.0.0.1:%d" % closed_port()
    path.write_text("%s\n%s\n" % (gone, token))
    config = renewal.authorised(launched(tmp_path))
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
    connection = Connection(renewal.authorised(launched(tmp_path)), logged.append, lambda: None)
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
    from jd.worker.config import from_json
    config = launched(tmp_path, JD_END_TIME="5")
    again = from_json(config.to_json(), {"JD_END_TIME": "7"})
    assert again.server_file == tmp_path / "server.url"
    assert again.environ["JD_END_TIME"] == "7"  # that of the batch job in which restart is typed
    assert "JD_END_TIME" not in config.to_json()["environ"]
