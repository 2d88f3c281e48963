import datetime
import pickle
import tempfile
import threading
import tracemalloc
from pathlib import Path
from typing import Any, Dict

import pytest

import jd
from jd import protocol
from jd.errors import JdError, LimitError, ServerRefused, ServerUnreachable, StorageError
from jd.script import checkpoint
from tests.script.signing import KEY, OTHER, signed
from tests.script.stub_server import Answer, StubServer

SAVED = {"success": True, "filename": "checkpoint_v0_1.pt", "version": 0, "size_bytes": 9}


def sent_pickle(stub: StubServer) -> bytes:
    content: bytes = stub.asked[-1].body.split(b"octet-stream\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    return content


@pytest.mark.parametrize("obj", [
    {"epoch": 3, "model": {"w": [1.5, float("inf")], "b": (1, 2)}, "ü": {1, 2}},
    None, b"\0\r\n--x" * 100_000, 2 ** 70, datetime.date(2024, 2, 29), "\udcff",
], ids=lambda value: type(value).__name__)
def test_checkpoint_comes_back_as_it_was(stub: StubServer, job: Path, obj: Any) -> None:
    stub.will_answer(Answer(200, SAVED))
    assert jd.jd_update_checkpoint(obj) == SAVED
    stub.will_answer(Answer(200, sent_pickle(stub)))
    assert jd.jd_get_last_checkpoint() == obj
    assert list(job.iterdir()) == []


def test_what_goes_over_the_wire(stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_JOB_ATTEMPT", "2")
    monkeypatch.setenv("JD_WORKER_TOKEN", "the-worker-token")
    jd.jd_update_checkpoint({"epoch": 1})
    asked = stub.asked[0]
    assert (asked.method, asked.target) == ("POST", "/checkpoint")
    assert sorted(asked.parts()) == ["attempt", "checkpoint", "job_id"]
    assert (asked.field("job_id"), asked.field("attempt")) == ("42", "2")
    assert sent_pickle(stub)[:2] == b"\x80\x04"  # the pickle protocol that Python 3.8 has by default
    stub.will_answer(Answer(200, signed(pickle.dumps(1))))
    jd.jd_get_last_checkpoint()
    assert (stub.asked[1].method, stub.asked[1].target) == ("GET", "/checkpoint/latest?job_id=42&kind=object")
    assert {asked.headers["Authorization"] for asked in stub.asked} == {"Bearer the-worker-token"}


def test_first_run_has_none_and_does_not_wait(stub: StubServer, job: Path) -> None:
    stub.otherwise = Answer(404, {"error": "no checkpoint"})
    assert jd.jd_get_last_checkpoint() is None
    assert len(stub.asked) == 1


def test_a_checkpoint_directory_is_passed_over(stub: StubServer, job: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    archive = protocol.DIRECTORY_MARK + b"\0" * 500_000
    stub.will_answer(Answer(200, archive))  # it knows only the base
    assert jd.jd_get_last_checkpoint() is None
    assert [asked.target for asked in stub.asked] == ["/checkpoint/latest?job_id=42"]
    monkeypatch.setenv("JD_JOB_ATTEMPT", "1")  # of servers with extensions
    stub.will_answer(Answer(404, {}))
    assert jd.jd_get_last_checkpoint() is None
    assert stub.asked[1].target == "/checkpoint/latest?job_id=42&kind=object"


def test_another_job_on_another_server(stub: StubServer) -> None:
    stub.will_answer(Answer(200, SAVED), Answer(404, {}))
    jd.jd_update_checkpoint(1, 7, stub.url)  # in the places that published clients have
    assert stub.asked[0].field("job_id") == "7"
    assert jd.jd_get_last_checkpoint(8, stub.url) is None
    assert stub.asked[1].target.endswith("job_id=8")


# ---- trying again

def test_saving_is_tried_again(stub: StubServer, job: Path, hasty: None) -> None:
    stub.will_answer(Answer(503, {}), Answer(404, {}), Answer(200, hang_up=True), Answer(200, SAVED))
    assert jd.jd_update_checkpoint([1]) == SAVED
    assert len(stub.asked) == 4 and pickle.loads(sent_pickle(stub)) == [1]


def test_fetching_begins_anew_after_half_an_answer(stub: StubServer, job: Path, hasty: None) -> None:
    whole = signed(pickle.dumps("x" * 1000))
    stub.will_answer(Answer(200, pickle.dumps("y" * 2000), cut=5), Answer(503, {}), Answer(200, whole))
    assert jd.jd_get_last_checkpoint() == "x" * 1000
    # Nor may what came before complete an answer that is not complete.
    stub.will_answer(Answer(200, b"." * 5000, cut=5), Answer(200, signed(pickle.dumps("x" * 1000)[:-1])))
    with pytest.raises(JdError, match="cannot be unpickled"):
        jd.jd_get_last_checkpoint()


def test_failure_says_what_is_not_lost(stub: StubServer, job: Path, hasty: None,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_UPLOAD_MAX_RETRIES", "2")
    stub.otherwise = Answer(503, {"error": "busy"})
    with pytest.raises(ServerRefused, match=r"checkpoint of job 42 was not saved after 2 attempts, .*busy.*"
                                            "earlier checkpoints stay"):
        jd.jd_update_checkpoint(1)
    stub.otherwise = Answer(200, hang_up=True)
    with pytest.raises(ServerUnreachable, match="was not fetched .*still on the server"):
        jd.jd_get_last_checkpoint()
    assert len(stub.asked) == 4


def test_lost_attempt_is_told_at_once(stub: StubServer, job: Path, hasty: None) -> None:
    stub.otherwise = Answer(409, {"error": "attempt 2 runs now"})
    with pytest.raises(ServerRefused, match="attempt 2 runs now"):
        jd.jd_update_checkpoint(1)
    assert len(stub.asked) == 1


# ---- limits and odd objects

def test_over_the_limit_nothing_is_sent_or_left(stub: StubServer, job: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    obj = [b"x" * 100_000, "y" * 10]
    size = len(signed(pickle.dumps(obj, 4), KEY, OTHER))  # with the home's key there are two as well
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", size)
    jd.jd_update_checkpoint(obj)
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", size - 1)
    with pytest.raises(LimitError, match="checkpoint of job 42 is larger than 100 MB"):
        jd.jd_update_checkpoint(obj)
    assert len(stub.asked) == 1 and list(job.iterdir()) == []


def test_the_object_is_not_in_memory_twice(stub: StubServer, job: Path) -> None:
    obj: Dict[str, bytes] = {"weights": bytes(30 * 1024 * 1024)}
    tracemalloc.start()
    try:
        jd.jd_update_checkpoint(obj)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Failing:
    def __reduce__(self) -> Any:
        raise RuntimeError("device lost")


@pytest.mark.parametrize("obj, says", [(Locked(), "TypeError"), (lambda: 1, "lambda"),
                                       (Failing(), "RuntimeError: device lost")],
                         ids=["lock", "lambda", "own"])
def test_what_cannot_be_pickled(stub: StubServer, job: Path, obj: Any, says: str) -> None:
    with pytest.raises(JdError, match="checkpoint of job 42 cannot be pickled: .*%s.*state_dict" % says):
        jd.jd_update_checkpoint(obj)
    assert stub.asked == [] and list(job.iterdir()) == []


@pytest.mark.parametrize("content, says", [
    (b"cno_such_module_here\nThing\n.", "ModuleNotFoundError"),
    (pickle.dumps([1, 2, 3])[:-2], "cannot be unpickled"),
    (b"", "EOFError"),
])
def test_what_cannot_be_unpickled(stub: StubServer, job: Path, content: bytes, says: str) -> None:
    stub.will_answer(Answer(200, signed(content)))
    with pytest.raises(JdError, match=says) as raised:
        jd.jd_get_last_checkpoint()
    assert "checkpoint of job 42" in str(raised.value) and "another version" in str(raised.value)


# ---- the temporary file

class _Full:
    """A temporary file on a full disk, which says so at each write, also that of closing."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, _: bytes) -> int:
        raise OSError(28, "No space left on device")

    def __enter__(self) -> "_Full":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        raise OSError(28, "No space left on device")

    def fileno(self) -> int:
        return int(self._file.fileno())


def test_full_disk_names_the_place(stub: StubServer, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_directory = checkpoint._in_directory
    monkeypatch.setattr(checkpoint, "_in_directory", lambda directory: _Full(in_directory(directory)))
    with pytest.raises(StorageError, match="%s: No space left on device" % job):
        jd.jd_update_checkpoint(1)
    assert stub.asked == []


def test_it_is_made_in_the_jobs_directory_else_elsewhere(
        stub: StubServer, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    in_directory = checkpoint._in_directory

    def watched(directory: str) -> Any:
        file = in_directory(directory)
        used.append(directory)
        return file

    monkeypatch.setattr(checkpoint, "_in_directory", watched)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    jd.jd_update_checkpoint(1)
    monkeypatch.setenv("JD_WORKER_JOB_DIR", str(job / "gone"))
    jd.jd_update_checkpoint(1)
    assert used == [str(job), str(tmp_path)]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="set TMPDIR"):
        jd.jd_update_checkpoint(1)
