"""Which server a command means: what is named, else a worker's, the Hub's, the access file's, the default."""

import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import pytest

from jd.auth import jobserver, tokentosend
from jd.cli import target
from jd.cli.commandline import CommandLine
from jd.cli.commands.run import configuration
from jd.cli.context import Context
from jd.errors import JdError, StorageError
from jd.net.finding import accessfile, published
from jd.net.finding.accessfile import Place, Seat
from jd.node.identity import Here
from jd.worker.local import outboxes
from jd.worker.local.registry import Registry
from jd.worker.uplink import tokenrenewal
from tests.cli.info_support import Machine
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env

TOKEN = "the-token-of-the-access-file"
URL = "http://127.0.0.1:4999"


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path)


def write(environ: Dict[str, str], **changes: Any) -> Path:
    path = accessfile.path_of("exp", environ)
    accessfile.write(path, Place("exp", "id", (URL,), "head", Seat.own(), TOKEN).but(**changes))
    return path


def context(environ: Dict[str, str], **arguments: str) -> Context:
    return Context(CommandLine("server-info", (), dict({"expId": "exp"}, **arguments)), environ)


def test_the_order(environ: Dict[str, str]) -> None:
    def told(**arguments: str) -> Tuple[str, Optional[str]]:
        source = target.source(context(environ, **arguments))
        return source.by, source.url

    assert told() == (jobserver.DEFAULT, "http://localhost:5000")
    path = write(environ)
    assert told() == (jobserver.ACCESS_FILE, None)
    assert target.source(context(environ)).shown == "access file %s" % path
    environ["JD_API_KEY"] = "jd_key"
    assert told() == (jobserver.HUB, None)
    Registry("exp", environ).reserve([0], {"server": "http://w:1"}, Here(), 0.0)
    del environ["JD_API_KEY"]
    assert told() == (target.WORKER, "http://w:1")
    environ["JD_PORT"] = "7000"
    assert told() == ("JD_PORT", "http://localhost:7000")
    assert told(port="7001") == ("port=", "http://localhost:7001")
    environ["JD_SERVER"] = "n1"
    assert told() == ("JD_SERVER", "http://n1:7000")
    assert told(server="n2", port="7001") == ("server=", "http://n2:7001")


def test_what_the_file_says_is_used_and_its_token_shows_nowhere(environ: Dict[str, str]) -> None:
    write(environ, certificate="PEM")
    environ["JD_SERVER_TOKEN"] = "another-token-for-another-server"
    found = context(environ).target()
    assert (found.place.url, found.token(), found.place.certificate) == (URL, TOKEN, "PEM")
    assert TOKEN not in repr(found) and TOKEN not in repr(found.place)


def test_a_launch_takes_it_as_well_and_stores_no_token(environ: Dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("")
    given = {"expId": "exp", "entry_script": str(script)}
    config = tokenrenewal.authorised(configuration(given, environ))
    assert config.found and config.server == "http://localhost:5000"
    path = write(environ)
    config = tokenrenewal.authorised(configuration(given, environ))
    assert (config.server, config.server_file) == (URL, path)
    assert tokentosend.bearer(config.reached, {}) == TOKEN
    assert TOKEN not in json.dumps(config.to_json()) and TOKEN not in repr(config)
    for words in ({"server": "n1"}, {"port": "5001"}, {"api_key": "jd_key"}):
        named = configuration(dict(given, **words), environ)
        assert (named.found, named.server_file) == (False, None)


def test_another_machine_and_only_loopback(environ: Dict[str, str]) -> None:
    write(environ, seat=Seat("another boot", "", 7, "1"))
    with pytest.raises(StorageError, match="loopback of head only .* --host 0.0.0.0"):
        context(environ).target()


def test_a_server_that_was_killed(environ: Dict[str, str]) -> None:
    path = write(environ, seat=Seat.own()._replace(started="0"))
    with pytest.raises(published.Stale) as refused:
        context(environ).target()
    for part in (str(path), "pid %d on head" % Seat.own().pid, "jd_server --expId exp"):
        assert part in str(refused.value)


def test_a_server_of_a_hub(environ: Dict[str, str]) -> None:
    write(environ, hub="https://hub.example", token=None)
    with pytest.raises(StorageError, match="JD_API_KEY .*JD_HUB_URL=https://hub.example"):
        context(environ).target()


def test_no_answer_names_the_file(environ: Dict[str, str]) -> None:
    path = write(environ, urls=("http://127.0.0.1:9",))
    with pytest.raises(Exception, match="no answer from .*%s names pid" % path):
        context(environ).client().call("GET", "/healthz")


def test_where_and_health_say_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_where_says_what_is_wrong_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    write(machine.environ).chmod(0o644)
    assert "chmod 600" in machine.facts(capsys, "expId=exp", "where")["server"]["error"]


# ---- a server that was killed, and its file left

def killed(environ: Dict[str, str], **changes: Any) -> Path:
    return write(environ, seat=Seat.own()._replace(started="0"), **changes)


def test_exp_status_is_local_and_says_how_the_server_is_found(tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    path = write(machine.environ, urls=("http://127.0.0.1:9", "http://192.0.2.1:9"))
    facts = machine.facts(capsys, "expId=exp", "exp-status")
    assert (facts["server"], facts["server_found_by"]) == ("http://127.0.0.1:9", "access file")
    assert machine.run("expId=exp", "exp-status") == 0
    assert "http://127.0.0.1:9  (access file %s; pid" % path in capsys.readouterr().out
    machine.environ.update(JD_API_KEY="jd_key", JD_HUB_URL="http://192.0.2.1:5080")
    facts = machine.facts(capsys, "expId=exp", "exp-status")
    assert (facts["server"], facts["server_found_by"], facts["server_error"]) == (None, jobserver.HUB, None)
    assert machine.run("expId=exp", "exp-status") == 0
    assert "the Hub http://192.0.2.1:5080" in capsys.readouterr().out


def test_what_else_is_known_is_told_after_the_server_was_killed(tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    path = killed(machine.environ, urls=("http://127.0.0.1:9",))
    says = "%s is of a server that was killed" % path
    outbox = outboxes.near("exp", machine.environ)
    outbox.make()
    (outbox.path / "1-1-a.json").write_text("{}")
    facts = machine.facts(capsys, "expId=exp", "exp-status")
    assert facts["undelivered"] == 1 and facts["server_error"].startswith(says)
    assert facts["server"] == "http://127.0.0.1:9"
    where = machine.facts(capsys, "expId=exp", "where")["server"]
    assert where["error"].startswith(says) and where["pid"] == Seat.own().pid
    health = machine.facts(capsys, "expId=exp", "health", status=1)
    assert health["ok"] is False and health["hub"] == {"configured": False}
    assert health["server"]["error"].startswith(says) and health["server"]["file"] == str(path)
    for command in ("exp-status", "where", "health"):
        machine.run("expId=exp", command)
        shown = capsys.readouterr().out
        assert says in shown and "start it again: jd_server --expId exp" in shown
    assert "found by" in shown


@pytest.mark.parametrize("command", ["server-info", "health", "doctor"])
def test_with_a_worker_too_it_is_said_how_to_start_it_again(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    machine = Machine(tmp_path)
    path = killed(machine.environ, urls=("http://127.0.0.1:9",))
    machine.enter(config={"server": "http://127.0.0.1:9", "server_file": str(path)})
    try:
        machine.run("expId=exp", command, "json=true")
        told = capsys.readouterr().out
    except JdError as error:
        told = str(error)
    assert "connection was refused" in told and "%s is of a server that was killed" % path in told
    assert "jd_server --expId exp" in told


# ---- the Hub of an access file

def test_a_key_goes_to_the_hub_that_the_access_file_names(environ: Dict[str, str]) -> None:
    def hub(**arguments: str) -> str:
        access = context(environ, **arguments).hub
        assert access is not None
        return access.url
    environ["JD_API_KEY"] = "jd_key"
    assert hub() == "https://hub.jobdistributor.net"
    write(environ, hub="http://h:5080", token=None)
    assert hub() == "http://h:5080"
    assert target.source(context(environ)).shown == "the Hub http://h:5080"
    assert hub(hub="http://typed:1") == "http://typed:1"
    environ["JD_HUB_URL"] = "http://set:1"
    assert hub() == "http://set:1"


def test_a_launch_takes_that_hub(environ: Dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    write(environ, hub="http://h:5080", token=None)
    config = configuration({"expId": "exp", "entry_script": str(tmp_path / "train.py")},
                           dict(environ, JD_API_KEY="jd_key"))
    assert (config.hub, config.found) == ("http://h:5080", False)


def test_a_key_is_sent_nowhere_while_the_file_cannot_be_trusted(environ: Dict[str, str]) -> None:
    write(environ, hub="http://h:5080", token=None).chmod(0o644)
    environ["JD_API_KEY"] = "jd_key"
    with pytest.raises(StorageError, match="chmod 600"):
        assert context(environ).hub


def test_a_hub_on_the_loopback_of_another_machine(environ: Dict[str, str]) -> None:
    write(environ, hub="http://127.0.0.1:5080", token=None, seat=Seat("another boot", "", 7, "1"))
    environ["JD_API_KEY"] = "jd_key"
    with pytest.raises(StorageError,
                       match="Hub of exp, http://127.0.0.1:5080, listens on the loopback of head"):
        assert context(environ).hub


def hub_answers(status: int) -> Answer:
    return Answer(status, {"error": "no"})


@pytest.mark.parametrize("status", [None, 401, 404])
def test_who_has_a_server_without_a_hub_is_told_how_to_reach_it(
        environ: Dict[str, str], tmp_path: Path, status: Optional[int]) -> None:
    path = write(environ)
    (tmp_path / "train.py").write_text("")
    with StubServer() as stub:
        stub.otherwise = hub_answers(status or 200)
        environ.update(JD_API_KEY="jd_key", JD_HUB_URL=stub.url if status else "http://127.0.0.1:9")
        for ask in (context(environ).target, lambda: tokenrenewal.authorised(
                configuration({"expId": "exp", "entry_script": str(tmp_path / "train.py")}, environ))):
            with pytest.raises(JdError) as told:
                ask()
            assert str(told.value).endswith("give server=@%s, or unset JD_API_KEY" % path)


def test_doctor_is_about_the_server_that_a_launch_would_use(tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, JD_API_KEY="jd_key")
    path = write(machine.environ, hub="http://127.0.0.1:9", token=None)
    found = machine.facts(capsys, "expId=exp", "doctor", status=1)["findings"]
    server = [finding for finding in found if finding["topic"] == "Server"]
    assert [finding["level"] for finding in server] == ["problem"]
    assert "the Hub http://127.0.0.1:9 cannot be reached" in server[0]["what"]
    assert not any("the default" in finding["what"] for finding in found)
    path.unlink()
    del machine.environ["JD_API_KEY"]
    machine.run("expId=exp", "doctor", "json=true")
    found = json.loads(capsys.readouterr().out)["findings"]
    assert any("there is no access file %s; this is about the default" % path in finding["what"]
               for finding in found)
