import errno
import os
import pickle
import random
import tracemalloc
from pathlib import Path
from typing import Any, List, Optional

import pytest

import jd
from jd import protocol
from jd.errors import LimitError, ServerRefused, ServerUnreachable, StorageError, UsageError
from jd.script.context import JobContext
from jd.script.upload import PAUSES, Patience, upload_file
from tests.script.stub_server import UPLOADED, Answer, StubServer

TOKEN = "a-token-nobody-may-see"
BUSY = Answer(503, {"success": False, "error": "the server is restarting"})


@pytest.fixture
def result(job: Path) -> Path:
    path = job / "result.json"
    path.write_text("{}")
    return path


def test_upload_sends_the_file_for_the_running_job(stub: StubServer, result: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_WORKER_TOKEN", TOKEN)
    assert jd.jd_upload(result) == UPLOADED
    asked = stub.asked[0]
    assert (asked.method, asked.target) == ("POST", protocol.UPLOAD)
    assert asked.headers["Authorization"] == "Bearer " + TOKEN
    assert sorted(asked.parts()) == ["file", "job_id"]
    assert asked.field("job_id") == "42" and asked.field("file") == "{}"
    assert asked.parts()["file"].get_filename() == "result.json"


def test_attempt_goes_along_where_it_is_known(stub: StubServer, result: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_JOB_ATTEMPT", "3")
    jd.jd_upload(str(result))
    jd.jd_upload(result, job_id=41)
    assert stub.asked[0].field("attempt") == "3"
    assert sorted(stub.asked[1].parts()) == ["file", "job_id"] and stub.asked[1].field("job_id") == "41"


def test_relative_paths_and_empty_files(stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (job / "empty").touch()
    monkeypatch.chdir(job)
    jd.jd_upload("empty")
    assert stub.asked[0].field("file") == ""


def test_the_experiment_goes_along_unless_the_call_names_its_server(stub: StubServer, result: Path) -> None:
    jd.jd_upload(result)
    jd.jd_upload(result, server=stub.url)
    assert [asked.headers.get("X-JD-Experiment") for asked in stub.asked] == ["digits-tune", None]


def test_server_argument_replaces_the_variable(stub: StubServer, result: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_SERVER", "http://127.0.0.1:9")
    jd.jd_upload(result, server="127.0.0.1:%d" % stub.port)
    assert len(stub.asked) == 1


# ---- trying again

def test_upload_survives_a_restart_of_the_server(stub: StubServer, result: Path) -> None:
    stub.will_answer(BUSY, BUSY)
    slept: List[float] = []
    context = JobContext.current("f")
    assert upload_file(context, result, Patience(5, sleep=slept.append)) == UPLOADED
    assert len(slept) == 2 and all(1 <= pause <= 20 for pause in slept) and PAUSES == (1.0, 20.0)
    assert [asked.field("file") for asked in stub.asked] == ["{}"] * 3


@pytest.mark.parametrize("answer", [Answer(404, {}), Answer(429, {}), Answer(200, hang_up=True),
                                    Answer(200, b"<html>"), Answer(200, []), Answer(200, {"success": False})])
def test_these_are_tried_again(stub: StubServer, result: Path, hasty: None, answer: Answer) -> None:
    stub.will_answer(answer)
    jd.jd_upload(result)
    assert len(stub.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_these_are_raised_at_once(stub: StubServer, result: Path, hasty: None, status: int) -> None:
    stub.otherwise = Answer(status, {"error": "the server's words"})
    with pytest.raises(ServerRefused, match="the server's words") as raised:
        jd.jd_upload(result)
    assert raised.value.status == status and len(stub.asked) == 1
    assert "after 1 attempt: http" in str(raised.value) and "still there: %s" % result in str(raised.value)
    assert "JD_UPLOAD_MAX_RETRIES" not in str(raised.value)


def test_lost_attempt_is_told_at_once(stub: StubServer, result: Path, hasty: None) -> None:
    stub.otherwise = Answer(409, {"success": False, "error": "attempt 1 is no longer current"})
    with pytest.raises(ServerRefused, match="409: attempt 1 is no longer current"):
        jd.jd_upload(result)
    assert len(stub.asked) == 1


@pytest.mark.parametrize("variable, attempts", [(None, 5), ("2", 2), ("1", 1)])
def test_attempts_are_counted_and_told(stub: StubServer, result: Path, hasty: None,
                                       monkeypatch: pytest.MonkeyPatch, variable: str, attempts: int) -> None:
    if variable:
        monkeypatch.setenv("JD_UPLOAD_MAX_RETRIES", variable)
    stub.otherwise = BUSY
    with pytest.raises(ServerRefused) as raised:
        jd.jd_upload(result)
    told = str(raised.value)
    assert len(stub.asked) == attempts and raised.value.status == 503
    assert told.startswith("result.json of job 42 was not uploaded after %d attempt" % attempts)
    assert "the server is restarting" in told and "JD_UPLOAD_MAX_RETRIES" in told
    assert "still there: %s" % result in told and result.exists()


def test_absent_server(stub: StubServer, result: Path, hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_WORKER_TOKEN", TOKEN)
    stub.otherwise = Answer(200, hang_up=True)
    with pytest.raises(ServerUnreachable,
                       match="after 5 attempts, the last failure: no answer from http") as raised:
        jd.jd_upload(result)
    assert TOKEN not in str(raised.value)


def test_attempts_of_nonsense(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_UPLOAD_MAX_RETRIES", "many")
    with pytest.raises(UsageError, match="JD_UPLOAD_MAX_RETRIES"):
        jd.jd_upload(result)


# ---- size

def test_memory_does_not_grow_with_the_file(stub: StubServer, job: Path) -> None:
    size = 60 * 1024 * 1024
    with open(job / "model.pt", "wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        jd.jd_upload(job / "model.pt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stub.asked[0].length > size
    assert peak < 4 * 1024 * 1024  # client and server together: they are one process here


def test_file_over_the_limit_is_not_sent(stub: StubServer, job: Path) -> None:
    with open(job / "huge", "wb") as file:
        file.truncate(protocol.MAX_FILE_BYTES + 1)
    with pytest.raises(LimitError, match=r"huge has 104857601 bytes, and 104857600 \(100 MB\) is the most"):
        jd.jd_upload(job / "huge")
    assert stub.asked == []


@pytest.mark.parametrize("change, says", [(+1000, "grew"), (-1000, "shrank")])
def test_file_that_changes_meanwhile_is_an_error(stub: StubServer, job: Path, hasty: None,
                                                 change: int, says: str) -> None:
    size = 30 * 1024 * 1024
    path = job / "log.bin"
    with open(path, "wb") as file:
        file.truncate(size)
    stub.will_answer(Answer(200, UPLOADED, meanwhile=lambda: os.truncate(str(path), size + change)))
    with pytest.raises(StorageError, match="log.bin %s while it was sent" % says):
        jd.jd_upload(path)
    stub.wait_for(1)
    assert len(stub.asked) == 1
    assert stub.asked[0].length < int(stub.asked[0].headers["Content-Length"])  # never a whole request


@pytest.mark.parametrize("good", [None, 0, 1])
def test_what_the_system_does_not_send_by_itself_is_read_and_sent(
        stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch, good: Optional[int]) -> None:
    """There are systems without sendfile (None), and files of which it sends nothing or the beginning."""
    content = random.Random(1).getrandbits(8 * 1_000_000).to_bytes(1_000_000, "big")
    (job / "model.pt").write_bytes(content)
    calls: List[int] = []
    real = os.sendfile

    def limited(to: int, file: int, at: int, count: int) -> int:
        calls.append(at)
        if len(calls) > (good or 0):
            raise OSError(errno.EINVAL, "not of this file system")
        return real(to, file, at, min(count, 1000))
    if good is None:
        monkeypatch.delattr(os, "sendfile")
    else:
        monkeypatch.setattr(os, "sendfile", limited)
    assert jd.jd_upload(job / "model.pt") == UPLOADED
    assert content in stub.asked[0].body
    assert calls == [at * 1000 for at in range(0 if good is None else good + 1)]


# ---- as published clients have it

def test_job_server_and_tries_in_their_places(stub: StubServer, result: Path, hasty: None,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_SERVER", "http://127.0.0.1:9")
    stub.will_answer(*[Answer(404, {})] * 3)
    for tries in (1, 0, -1):  # it is tried once at least
        with pytest.raises(ServerRefused, match="after 1 attempt"):
            jd.jd_upload(str(result), 7, stub.url, tries)
    stub.will_answer(Answer(404, {}))
    assert jd.jd_upload(str(result), 7, stub.url, max_retries=2) == UPLOADED
    assert [asked.field("job_id") for asked in stub.asked] == ["7"] * 5
    given: Any = "3"
    with pytest.raises(UsageError, match="max_retries: '3' is not allowed"):
        jd.jd_upload(str(result), 7, stub.url, given)


def test_errors_that_scripts_may_catch(stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        jd.jd_upload(job / "none.txt")
    assert isinstance(missing.value, StorageError) and missing.value.errno == errno.ENOENT
    copy = pickle.loads(pickle.dumps(missing.value))  # as multiprocessing hands it on
    assert (type(copy), str(copy)) == (type(missing.value), str(missing.value))
    assert str(copy).endswith("there is no such file; jd_job_dir() is where the job's files are")
    with open(str(job / "huge"), "wb") as file:
        file.truncate(protocol.MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="is the most that can be uploaded"):
        jd.jd_upload(job / "huge")
    monkeypatch.delenv("JD_JOB_ID")
    with pytest.raises(RuntimeError, match="needs a running job"):
        jd.jd_upload(job / "none.txt")
    assert stub.asked == []


# ---- what cannot be uploaded

def test_missing_file_directory_and_pipe(stub: StubServer, job: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none.txt cannot be uploaded: there is no such file"):
        jd.jd_upload(job / "none.txt")
    with pytest.raises(FileNotFoundError, match="it is a directory"):
        jd.jd_upload(job)
    os.mkfifo(str(job / "pipe"))
    with pytest.raises(FileNotFoundError, match="not a regular file"):
        jd.jd_upload(job / "pipe")
    assert stub.asked == []


@pytest.mark.parametrize("name, sent", [
    ("Ergebnis für Zoë 数.json", "Ergebnis für Zoë 数.json"),
    ("two words.txt", "two words.txt"),
    ('a "quoted" name', "a %22quoted%22 name"),
    ("back\\slash;x=1", "back\\\\slash;x=1"),
    ("n" * 200, "n" * 200),
])
def test_odd_names_arrive(stub: StubServer, job: Path, name: str, sent: str) -> None:
    (job / name).write_text("x")
    jd.jd_upload(job / name)
    assert ('filename="%s"\r\n' % sent).encode() in stub.asked[0].body


@pytest.mark.parametrize("name, kind, says", [
    ("n" * 201, LimitError, "has 201 bytes, and 200 are allowed; rename"),
    ("ü" * 101, LimitError, "has 202 bytes"),
    ("line\nbreak", UsageError, "control characters; rename"),
    ("next\x85line", UsageError, "control characters; rename"),
    (os.fsdecode(b"latin-\xfc"), UsageError, "not valid UTF-8; rename"),
])
def test_names_that_cannot_be_stored(stub: StubServer, job: Path, name: str, kind: type, says: str) -> None:
    (job / name).write_text("x")
    with pytest.raises(kind, match=says) as raised:
        jd.jd_upload(job / name)
    assert "\n" not in str(raised.value)
    assert stub.asked == []


def test_content_arrives_byte_for_byte(stub: StubServer, job: Path) -> None:
    content = random.Random(7).getrandbits(8 * 300_000).to_bytes(300_000, "big")
    (job / "bin").write_bytes(content)
    jd.jd_upload(job / "bin")
    assert content in stub.asked[0].body
