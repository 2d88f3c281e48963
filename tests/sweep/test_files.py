"""Uploads of jobs, and where they go on this machine."""

import os
from pathlib import Path
from typing import Callable

import pytest

import jd
from jd.errors import ServerUnreachable, StorageError
from jd.sweep.session import Session
from tests.script.stub_server import Answer, StubServer
from tests.sweep.conftest import query_of

Begun = Callable[..., Session]


def workspace(tmp_path: Path) -> Path:
    return (tmp_path / "workspace").resolve()


def test_places(tmp_path: Path, begun: Begun) -> None:
    one = begun()
    root = workspace(tmp_path)
    assert one.workspace_parent == root and jd.data_root() == root / "jd_data"
    assert jd.exp_path() == root / "jd_data" / "exp" and jd.job_path("7") == jd.exp_path() / "7"
    assert not root.exists()
    assert jd.job_download_dir(7) == jd.job_path(7) / "downloaded" and jd.job_download_dir(7).is_dir()


def test_uploads_are_listed(stub: StubServer, begun: Begun) -> None:
    begun()
    stub.otherwise = Answer(200, {"job_id": 7, "uploads": [{"filename": "a.json"}]})
    assert jd.list_job_uploads("7") == [{"filename": "a.json"}]
    assert stub.asked[0].target == "/api/jobs/7/uploads"
    stub.otherwise = Answer(200, {})
    assert jd.list_job_uploads(7) == []
    stub.otherwise = Answer(404, {"error": "no job 8"})
    with pytest.raises(RuntimeError, match="no job 8"):
        jd.list_job_uploads(8)


def test_a_file_comes_into_the_jobs_directory_or_where_it_is_told(stub: StubServer, begun: Begun,
                                                                 tmp_path: Path) -> None:
    begun()
    stub.otherwise = Answer(200, b"x" * 700_000)
    path = jd.download_result(7, "some/dir/metrics.csv")
    assert path == jd.job_path(7) / "downloaded" / "metrics.csv" and path.stat().st_size == 700_000
    assert stub.asked[-1].target == "/api/jobs/7/uploads/download?filename=metrics.csv"
    other = tmp_path / "new" / "m.csv"
    assert jd.download_result(7, "metrics.csv", other) == other.resolve()
    stub.otherwise = Answer(200, b"y")
    assert jd.download_result(7, "metrics.csv", str(other)).read_bytes() == b"y"
    assert os.listdir(str(other.parent)) == ["m.csv"]
    with pytest.raises(StorageError, match="is a directory"):
        jd.download_result(7, "metrics.csv", tmp_path)
    for name in ("", "..", "a/.."):
        with pytest.raises(ValueError, match="no name"):
            jd.download_result(7, name)


def test_it_is_there_whole_or_not_at_all(stub: StubServer, begun: Begun) -> None:
    session = begun()
    place = jd.job_download_dir(7)
    stub.will_answer(Answer(200, b"half", cut=4))
    stub.otherwise = Answer(200, b"the whole")
    assert jd.download_result(7, "a.json").read_bytes() == b"the whole"
    stub.otherwise = Answer(404, {"error": "no upload"})
    with pytest.raises(RuntimeError, match="job 7 has no file b.json"):
        jd.download_result(7, "b.json")
    stub.otherwise = Answer(200, b"half", cut=4)
    tried = session.tried
    session.tried = lambda call, *more: tried(call, patience=0.01)  # type: ignore[method-assign]
    with pytest.raises(ServerUnreachable):
        jd.download_result(7, "a.json")
    assert os.listdir(str(place)) == ["a.json"] and (place / "a.json").read_bytes() == b"the whole"


def test_a_path_counts_where_the_job_has_a_file_of_that_path(stub: StubServer, begun: Begun) -> None:
    begun("paths")
    stub.otherwise = Answer(200, b"1")
    assert jd.download_result(7, "ckpt/a.pt") == jd.job_path(7) / "downloaded" / "ckpt" / "a.pt"
    assert query_of(stub.asked[-1]) == "filename=ckpt%2Fa.pt"
    stub.will_answer(Answer(404, {"error": "no upload"}))
    assert jd.download_result(7, "ckpt/b.pt") == jd.job_path(7) / "downloaded" / "b.pt"
    assert jd.download_result(7, "../../b.pt") == jd.job_path(7) / "downloaded" / "b.pt"
    assert query_of(stub.asked[-1]) == "filename=b.pt"


def test_what_cannot_be_written_is_told(stub: StubServer, begun: Begun, tmp_path: Path) -> None:
    begun()
    (tmp_path / "file").write_text("")
    for kind in (StorageError, OSError):  # published clients raise an OSError
        with pytest.raises(kind, match="cannot be written"):
            jd.download_result(7, "a.json", tmp_path / "file" / "a.json")
        with pytest.raises(kind, match="is a directory"):
            jd.download_result(7, "a.json", tmp_path)
    assert stub.asked == []
