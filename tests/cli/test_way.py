"""Which server a command means: what is named, else a worker's, the Hub's, the access file's, the default."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import pytest

from jd.cli import way
from jd.cli.commands.run import configuration
from jd.cli.context import Context
from jd.cli.tokens import CommandLine
from jd.errors import StorageError
from jd.net import accessfile, published
from jd.net.accessfile import Place, Seat
from jd.node.identity import Here
from jd.worker import renewal
from jd.worker.registry import Registry
from tests.cli.info_support import Machine
from tests.support import free_env

TOKEN = "the-token-of-the-access-file"
URL = "http://127.0.0.1:4999"


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path)


def write(environ: Dict[str, str], **changes: Any) -> Path:
    path = accessfile.path_of("exp", environ)
    accessfile.write(path, replace(Place("exp", "id", (URL,), "head", Seat.own(), TOKEN), **changes))
    return path


def context(environ: Dict[str, str], **arguments: str) -> Context:
    return Context(CommandLine("server-info", (), dict({"expId": "exp"}, **arguments)), environ)


def test_the_order(environ: Dict[str, str]) -> None:
    def told(**arguments: str) -> Any:
        source = way.source(context(environ, **arguments))
        return source.by, source.url

    assert told() == (way.DEFAULT, "http://localhost:5000")
    path = write(environ)
    assert told() == (way.ACCESS_FILE, None)
    assert way.source(context(environ)).shown == "access file %s" % path
    environ["JD_API_KEY"] = "jd_key"
    assert told() == (way.HUB, None)
    Registry("exp", environ).reserve([0], {"server": "http://w:1"}, Here(), 0.0)
    del environ["JD_API_KEY"]
    assert told() == (way.WORKER, "http://w:1")
    environ["JD_PORT"] = "7000"
    assert told() == ("JD_PORT", "http://localhost:7000")
    assert told(port="7001") == ("port=", "http://localhost:7001")
    environ["JD_SERVER"] = "n1"
    assert told() == ("JD_SERVER", "http://n1:7000")
    assert told(server="n2", port="7001") == ("server=", "http://n2:7001")


def test_what_the_file_says_is_used_and_its_token_shows_nowhere(environ: Dict[str, str]) -> None:
    write(environ, certificate="PEM")
    environ["JD_SERVER_TOKEN"] = "another-token-for-another-server"
    found = context(environ).way()
    assert (found.place.url, found.token(), found.place.certificate) == (URL, TOKEN, "PEM")
    assert TOKEN not in repr(found) and TOKEN not in repr(found.place)


def test_a_launch_takes_it_as_well_and_stores_no_token(environ: Dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    given = {"expId": "exp", "entry_script": str(script)}
    config = renewal.authorised(configuration(given, environ))
    assert config.found and config.server == "http://localhost:5000"
    path = write(environ)
    config = renewal.authorised(configuration(given, environ))
    assert (config.server, config.server_file) == (URL, path) and config.reached.bearer({}) == TOKEN
    assert TOKEN not in json.dumps(config.to_json()) and TOKEN not in repr(config)
    for words in ({"server": "n1"}, {"port": "5001"}, {"api_key": "jd_key"}):
        named = configuration(dict(given, **words), environ)
        assert (named.found, named.server_file) == (False, None)


def test_another_machine_and_only_loopback(environ: Dict[str, str]) -> None:
    write(environ, seat=Seat("another boot", "", 7, "1"))
    with pytest.raises(StorageError, match="loopback of head only .* --host 0.0.0.0"):
        context(environ).way()


def test_a_server_that_was_killed(environ: Dict[str, str]) -> None:
    path = write(environ, seat=Seat.own()._replace(started="0"))
    with pytest.raises(published.Stale) as refused:
        context(environ).way()
    for part in (str(path), "pid %d on head" % Seat.own().pid, "jd_server --expId exp"):
        assert part in str(refused.value)


def test_a_server_of_a_hub(environ: Dict[str, str]) -> None:
    write(environ, hub="https://hub.example", token=None)
    with pytest.raises(StorageError, match="JD_API_KEY .*JD_HUB_URL=https://hub.example"):
        context(environ).way()


def test_no_answer_names_the_file(environ: Dict[str, str]) -> None:
    path = write(environ, urls=("http://127.0.0.1:9",))
    with pytest.raises(Exception, match="no answer from .*%s names pid" % path):
        context(environ).client().call("GET", "/healthz")


def test_where_and_health_say_how(tmp_path: Path, capsys: Any) -> None:
    machine = Machine(tmp_path)
    path = write(machine.environ, urls=("http://127.0.0.1:9",))
    server = machine.facts(capsys, "expId=exp", "where")["server"]
    assert server["found_by"] == "access file" and server["file"] == str(path)
    assert server["url"] == "http://127.0.0.1:9" and server["pid"] == Seat.own().pid
    assert machine.run("expId=exp", "where") == 0
    shown = capsys.readouterr().out
    assert "access file %s" % path in shown and TOKEN not in shown
    assert machine.run("expId=exp", "health", "json=true") == 1
    told = json.loads(capsys.readouterr().out)["server"]
    assert (told["found_by"], told["file"]) == ("access file", str(path))
    assert machine.run("health", "server=http://127.0.0.1:9", "json=true") == 1
    assert json.loads(capsys.readouterr().out)["server"]["found_by"] == "server="


def test_where_says_what_is_wrong_with_the_file(tmp_path: Path, capsys: Any) -> None:
    machine = Machine(tmp_path)
    write(machine.environ).chmod(0o644)
    assert "chmod 600" in machine.facts(capsys, "expId=exp", "where")["server"]["error"]
