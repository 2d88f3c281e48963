"""jd.init: where its values come from, how the server is found, what is tried again; the kinds of errors."""

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

import jd
from jd.errors import JdError, ServerRefused, ServerUnreachable, UsageError
from jd.net.finding import accessfile
from jd.net.finding.accessfile import Place, Seat
from jd.sweep import envfile, errors, session
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.support import free_env, python
from tests.sweep.conftest import HEALTH

Begun = Callable[..., Session]
NAMES = ("init create_jobs list_jobs get_job_statuses list_job_uploads download_result "
         "data_root exp_path job_path job_download_dir").split()


def access_file(stub: StubServer, **changes: Any) -> None:
    fields: Dict[str, Any] = dict(experiment="exp", server_id="id", urls=(stub.url,), host="head",
                                  seat=Seat.own(), token="the-token-of-the-access-file")
    accessfile.write(accessfile.path_of("exp", os.environ), Place(**dict(fields, **changes)))


# ---- values

def test_the_names_are_there_and_cost_nothing_until_they_are_used(tmp_path: Path) -> None:
    assert set(NAMES) <= set(dir(jd)) and set(NAMES) <= set(jd.__all__)
    code = ("import sys, jd\nassert 'jd.sweep' not in sys.modules\nfrom jd import %s\n"
            "assert 'jd.sweep.session' in sys.modules" % ", ".join(NAMES))
    subprocess.run(python("-c", code), check=True, timeout=60, env=free_env(tmp_path))


@pytest.mark.parametrize("text, found", [
    ('A=1\n', {"A": "1"}),
    ('  A = 1 \n\n# B=2\n  # C=3\nno sign\n', {"A": "1"}),
    ('A="it\'s"\nB=\'"x"\'\nC="""y\'\'', {"A": "it's", "B": '"x"', "C": "y"}),
    ("A=b=c\r\nA=2 # no comment\r\n=3", {"A": "2 # no comment"}),
    ("export A=1", {"export A": "1"}),
])
def test_lines_of_an_env_file(text: str, found: Dict[str, str]) -> None:
    assert envfile.parse(text) == found


@pytest.mark.parametrize("name", ["exp_id", "hub_url", "server"])
def test_an_argument_that_is_no_text_is_named(name: str) -> None:
    with pytest.raises(TypeError, match="%s=5 is no text" % name):
        jd.init(**{name: 5})


def test_arguments_win_over_variables_and_these_over_the_file(stub: StubServer, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    stub.otherwise = Answer(200, {"status": "ok", "PENDING": 0})
    Path(".env").write_text("JD_EXP_ID=of-the-file\nJD_SERVER=%s\nJD_WORKSPACE_PATH=%s\n" % (
        stub.url, tmp_path / "of-the-file"))
    monkeypatch.setenv("JD_WORKSPACE_PATH", "")  # an empty one is unset
    assert jd.init().exp_id == "of-the-file"
    assert jd.data_root() == (tmp_path / "of-the-file" / "jd_data").resolve()
    monkeypatch.setenv("JD_EXP_ID", "Of-The-Process ")
    assert jd.init().exp_id == "of-the-process"
    assert jd.init(exp_id=" Of-The-Call").exp_id == "of-the-call"
    Path("other.env").write_text("JD_SERVER=http://127.0.0.1:1\nJD_EXP_ID=x\n")
    assert jd.init("other.env", server=stub.url).server_url == stub.url
    assert "JD_SERVER" not in os.environ


def test_an_env_file_that_nobody_named_counts_only_if_nobody_else_can_have_written_it(
        stub: StubServer) -> None:
    stub.otherwise = Answer(200, dict(HEALTH))
    Path(".env").write_text("JD_EXP_ID=exp\nJD_SERVER=%s\n" % stub.url)
    os.chmod(".env", 0o666)
    with pytest.raises(JdError, match="env_file"):
        jd.init()
    assert stub.asked == []
    assert jd.init(".env").exp_id == "exp"


def test_what_is_missing_or_wrong_is_named_in_errors_of_the_kinds_of_published_clients() -> None:
    with pytest.raises(ValueError, match="JD_EXP_ID") as missing:
        jd.init()
    assert isinstance(missing.value, UsageError)
    with pytest.raises(ValueError, match="exp_id="):
        jd.init(exp_id="a b")
    with pytest.raises(FileNotFoundError, match="nothing.env"):
        jd.init("nothing.env")
    with pytest.raises(ValueError, match="server="):
        jd.init(exp_id="exp", server="ftp://x")


# ---- the server

def test_the_access_file_is_found_and_its_token_sent(stub: StubServer) -> None:
    stub.otherwise = Answer(200, dict(HEALTH))
    access_file(stub)
    begun = jd.init(exp_id="exp")
    begun.call("GET", "/api/jobs")
    assert begun.server_url == stub.url and begun.hub_url is None
    assert stub.asked[-1].headers["Authorization"] == "Bearer the-token-of-the-access-file"
    assert stub.asked[-1].headers["X-JD-Experiment"] == "exp"
    assert "the-token" not in repr(begun)


def test_a_session_begins_by_itself_where_all_is_in_place_and_else_says_what_to_do(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.otherwise = Answer(200, dict(HEALTH, statuses={"1": "DONE"}))
    with pytest.raises(RuntimeError, match=r"get_job_statuses.*jd\.init\("):
        jd.get_job_statuses([1])
    monkeypatch.setenv("JD_EXP_ID", "exp")
    with pytest.raises(RuntimeError, match=r"no.* server .*exp.*jd\.init\("):
        jd.get_job_statuses([1])
    access_file(stub)
    assert jd.get_job_statuses([1]) == {1: "DONE"}


def test_a_server_that_moves_is_found_again(stub: StubServer) -> None:
    stub.otherwise = Answer(200, dict(HEALTH))
    access_file(stub)
    begun = jd.init(exp_id="exp")
    with StubServer() as other:
        other.otherwise = Answer(200, {"here": True})
        stub.will_answer(Answer(hang_up=True))
        access_file(other, token="another-token-than-before")
        assert begun.call("GET", "/api/jobs") == {"here": True}
        assert begun.server_url == other.url
        other.will_answer(Answer(401, {"error": "who?"}))
        access_file(stub)
        assert begun.call("POST", "/api/jobs", {}, again=False) == HEALTH


def test_of_a_hub_come_server_and_token_and_both_anew_when_the_token_is_refused(
        stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_API_KEY", "jd_" + "k" * 40)
    with StubServer() as hub:
        hub.otherwise = Answer(200, {"worker_token": "token-1", "server_url": stub.url, "exp_name": "exp"})
        stub.otherwise = Answer(200, dict(HEALTH))
        begun = jd.init(exp_id="exp", hub_url=hub.url)
        begun.call("GET", "/api/jobs")
        assert (begun.hub_url, begun.server_url, len(hub.asked)) == (hub.url, stub.url, 1)
        assert stub.asked[-1].headers["Authorization"] == "Bearer token-1"
        hub.otherwise = Answer(200, {"worker_token": "token-2", "server_url": stub.url, "exp_name": "exp"})
        stub.will_answer(Answer(401, {"error": "revoked"}))
        begun.call("GET", "/api/jobs")
        assert stub.asked[-1].headers["Authorization"] == "Bearer token-2"
        # While the Hub is away the token at hand serves.
        stub.will_answer(Answer(401, {"error": "revoked"}))
        hub.otherwise = Answer(503, b"<html>away</html>")
        stub.will_answer(Answer(hang_up=True))
        with pytest.raises(RuntimeError):
            begun.call("GET", "/api/jobs", patience=0)


def test_a_hub_that_refuses_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_API_KEY", "jd_" + "k" * 40)
    with StubServer() as hub:
        hub.otherwise = Answer(404, {"error": "no such experiment"})
        with pytest.raises(RuntimeError, match="no experiment exp") as refused:
            jd.init(exp_id="exp", hub_url=hub.url)
        assert isinstance(refused.value, ServerRefused) and refused.value.status == 404


def test_a_server_that_starts_is_waited_for(stub: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    stub.otherwise = Answer(200, dict(HEALTH))
    stub.will_answer(Answer(hang_up=True), Answer(hang_up=True))
    jd.init(exp_id="exp", server=stub.url)
    assert "jd: waiting up to" in capsys.readouterr().err


def test_what_is_no_server_of_the_experiment_is_told_at_once(stub: StubServer) -> None:
    stub.otherwise = Answer(200, dict(HEALTH, expId="another"))
    with pytest.raises(RuntimeError, match="another"):
        jd.init(exp_id="exp", server=stub.url)
    stub.otherwise = Answer(200, dict(HEALTH, role="dashboard"))
    with pytest.raises(RuntimeError, match="dashboard"):
        jd.init(exp_id="exp", server=stub.url)


def test_where_nobody_names_a_server_it_is_said_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MEETING", 0.0)
    monkeypatch.setattr("jd.auth.jobserver.default", lambda: "http://127.0.0.1:1")
    with pytest.raises(ValueError, match="jd_server --expId exp.*server=.*JD_API_KEY") as unknown:
        jd.init(exp_id="exp")
    assert isinstance(unknown.value, ServerUnreachable) and isinstance(unknown.value, OSError)


# ---- calls

def test_calls_that_can_be_made_twice_are_made_again(stub: StubServer, begun: Begun) -> None:
    one = begun()
    stub.will_answer(Answer(hang_up=True), Answer(503, {"error": "busy"}), Answer(200, {"a": 1}))
    assert one.call("GET", "/x") == {"a": 1}
    stub.will_answer(Answer(404, {"error": "no such job"}))
    with pytest.raises(RuntimeError, match="no such job") as refused:
        one.call("GET", "/x")
    assert isinstance(refused.value, ServerRefused) and refused.value.status == 404
    stub.will_answer(Answer(hang_up=True))
    with pytest.raises(OSError) as away:
        one.call("POST", "/x", {}, again=False)
    assert isinstance(away.value, ServerUnreachable) and isinstance(away.value, RuntimeError)
    assert [request.target for request in stub.asked] == ["/x"] * 5


def test_trying_again_ends(stub: StubServer, begun: Begun) -> None:
    one = begun()
    stub.otherwise = Answer(503, {"error": "busy"})
    with pytest.raises(RuntimeError, match="busy"):
        one.call("GET", "/x", patience=0.05)


def test_extensions_are_asked_for_once_and_a_base_server_has_none(stub: StubServer) -> None:
    stub.otherwise = Answer(404, {"error": "no such route"})
    stub.will_answer(Answer(404, {"error": "no such route"}), Answer(200, {"PENDING": 0}))
    one = jd.init(exp_id="exp", server=stub.url)
    del stub.asked[:]
    with pytest.raises(NotImplementedError, match="this server does not hum: .* older jd_server"):
        one.want("hum", "hum")
    assert not one.offers("x") and len(stub.asked) == 1


def test_errors_can_be_pickled() -> None:
    for error in (errors.Refused(409, "what", "advice"), errors.Unreachable("what", "advice"),
                  errors.NotOffered("what", "advice"), errors.TookTooLong("what")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_in_a_job_the_worker_has_said_where_the_server_is(stub: StubServer, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    stub.otherwise = Answer(200, dict(HEALTH))
    for name, value in {"JD_WORKER_JOB_DIR": tmp_path, "JD_WORKER_WORKSPACE_ROOT": tmp_path / "root",
                        "JD_EXP_ID": "exp", "JD_SERVER": stub.url, "JD_WORKER_TOKEN": "t" * 20}.items():
        monkeypatch.setenv(name, str(value))
    begun = session.current("list_jobs")
    begun.call("GET", "/api/jobs")
    assert stub.asked[-1].headers["Authorization"] == "Bearer " + "t" * 20
    assert jd.job_path(3) == (tmp_path / "root" / "exp" / "3").resolve()


def test_an_answer_that_is_no_object_is_no_answer(stub: StubServer, begun: Begun) -> None:
    one = begun()
    stub.will_answer(Answer(200, [1]))
    with pytest.raises(RuntimeError, match="no job server"):
        one.call("GET", "/x")


def test_when_its_server_was_stopped_here_nobody_is_asked(stub: StubServer, begun: Begun) -> None:
    session = begun()
    session.end("it was stopped", "start it again")
    with pytest.raises(errors.Unreachable, match="it was stopped"):
        session.call("GET", "/job_counts")
    assert not stub.asked
