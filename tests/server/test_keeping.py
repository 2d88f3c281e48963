"""`jd_server list`, `archive` and `remove`."""

import csv
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd.errors import JdError, StorageError
from jd.server.keeping import archive, overview, removal
from jd.server.keeping.reading import Place
from tests.server.keeping_support import EXPERIMENT, Data, Shell, served
from tests.support import free_env, program, python


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    """A job that is done, one that failed, one that waits."""
    opened = Data(tmp_path / "ws")
    opened.desk.create(3)
    opened.run(0.5)
    job = opened.desk.claim("w")
    opened.desk.finish(job.job_id, "ABORTED", attempt=job.attempt, message="boom", exit_code=3,
                       output_tail="Traceback")
    yield opened
    opened.close()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "ws", capsys)


def files_below(directory: Path) -> List[str]:
    return sorted(str(path.relative_to(str(directory))) for path in directory.rglob("*") if path.is_file())


# ---- archive

def unpacked(data: Data, tmp_path: Path) -> Path:
    file = tmp_path / "a.tar"
    archive.make(data.place, file, 1_700_000_000.0)
    with tarfile.open(str(file)) as packed:
        for member in packed.getmembers():
            assert member.isfile() and member.mode == 0o600 and member.name.startswith(EXPERIMENT + "/")
            source, target = packed.extractfile(member), tmp_path / "read" / member.name
            assert source is not None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read())
    return tmp_path / "read" / EXPERIMENT


def test_an_archive_says_what_it_is_and_has_all_of_it(data: Data, tmp_path: Path) -> None:
    data.reports(1, 1, 2)
    found = unpacked(data, tmp_path)
    checkpoints = [name for name in files_below(found) if "checkpoint" in name]
    assert len(checkpoints) == 2
    assert [name for name in files_below(found) if name not in checkpoints] == [
        "README.txt", "SHA256SUMS", "experiment.json", "files/1/earlier/result.json",
        "files/1/out/a.txt", "files/1/output/attempt-1.log", "files/1/reports/attempt-1.csv",
        "files/1/result.json", "files/2/output/attempt-1.log", "jobs.csv", "jobs.jsonl"]
    readme = (found / "README.txt").read_text()
    assert "A sweep of 3 jobs" in readme and "2023-11-14T22:13:20Z" in readme
    for name in ("experiment.json", "jobs.csv", "jobs.jsonl", "files/<id>/", "SHA256SUMS"):
        assert name in readme
    about = json.loads((found / "experiment.json").read_text())
    assert (about["jobs"], about["parameters"], about["results"]) == (
        {"PENDING": 1, "DONE": 1, "ABORTED": 1}, ["x"], ["loss"])
    told: List[Dict[str, Any]] = [json.loads(line)
                                  for line in (found / "jobs.jsonl").read_text().splitlines()]
    assert [(job["id"], job["status"], job["verdict"], job["results"]) for job in told] == [
        (1, "DONE", "done", {"loss": 0.5}), (2, "ABORTED", "failed", None), (3, "PENDING", None, None)]
    assert [one["message"] for one in told[1]["attempts"]] == ["boom"] and told[1]["history"]
    assert all((found / "files" / "1" / file["packed_as"]).is_file() for file in told[0]["files"])
    assert (found / "files" / "1" / "result.json").read_bytes() == b'{"loss": 0.5}'
    assert (found / "files" / "1" / "reports" / "attempt-1.csv").read_text() == (
        "metric,step,time,value\nacc,0,0.0,0.0\nacc,1,1.0,%r\n" % (1 / 7))
    assert (found / "files" / "2" / "output" / "attempt-1.log").read_text() == "Traceback"
    with (found / "jobs.csv").open(newline="") as table:
        assert [(row["id"], row["x"], row["loss"]) for row in csv.DictReader(table)] == [
            ("1", "0", "0.5"), ("2", "1", ""), ("3", "2", "")]


def test_every_file_has_its_checksum(data: Data, tmp_path: Path) -> None:
    found = unpacked(data, tmp_path)
    lines = [line.split("  ", 1) for line in (found / "SHA256SUMS").read_text().splitlines()]
    told = {name: digest for digest, name in lines}
    assert sorted([*told, "SHA256SUMS"]) == files_below(found)
    for name, digest in told.items():
        assert hashlib.sha256((found / name).read_bytes()).hexdigest() == digest
    if program("sha256sum") is not None:
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=str(found), check=True, timeout=60)


def test_all_attempts_are_in_it_however_many(data: Data, tmp_path: Path) -> None:
    data.desk.write(lambda t: t.db.executemany(
        "INSERT INTO attempts (job_id, number, worker_id, started_at, verdict) VALUES (3, ?, 'w', 1, 'lost')",
        ((number,) for number in range(1, 302))))
    data.desk.write(lambda t: t.db.execute("UPDATE jobs SET attempt = 301 WHERE id = 3"))
    lines = (unpacked(data, tmp_path) / "jobs.jsonl").read_text().splitlines()
    assert len(json.loads(lines[2])["attempts"]) == 301


def test_what_is_large_is_kept_beside_it_meanwhile(data: Data, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """/tmp is often small, or memory; only the checksums that are read again may be there."""
    made: List[Any] = []
    real = tempfile.TemporaryFile

    def temporary(dir: Any = None) -> Any:
        made.append(dir)
        return real(dir=dir)
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    archive.make(data.place, tmp_path / "a.tar", 1.0)
    assert made.count(str(tmp_path)) >= 4 and made.count(None) == 2


def test_a_file_that_has_gone_is_named(data: Data, shell: Shell, tmp_path: Path) -> None:
    (data.place.data / "1" / "a.txt").unlink()
    told = shell.done("archive", tmp_path / "a.tar", "--expId", EXPERIMENT)
    assert "1 file had gone from the disk" in told
    with tarfile.open(str(tmp_path / "a.tar")) as packed:
        source = packed.extractfile("exp/jobs.jsonl")
        assert source is not None
        gone = [file for file in json.loads(source.readline())["files"] if file["missing"]]
    assert [(file["path"], file["packed_as"]) for file in gone] == [("out/a.txt", None)]


def test_a_running_server_is_archived_too_and_no_secret_is(data: Data, shell: Shell, tmp_path: Path) -> None:
    (data.place.meta / "token").write_text("the-secret-of-the-server\n")
    with served(data.place):
        told = json.loads(shell.done("archive", tmp_path / "a.tar", "--expId", EXPERIMENT, "--json"))
    assert (told["jobs"], told["files"], told["missing"]) == (3, 5, 0)
    assert b"the-secret-of-the-server" not in (tmp_path / "a.tar").read_bytes()
    assert sorted(os.listdir(str(tmp_path))) == ["a.tar", "ws"]


def test_what_was_not_written_well_is_no_archive(data: Data, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "none" / "a.tar"
    with pytest.raises(StorageError, match="there is no directory"):
        archive.make(data.place, file, 1.0)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jd.server.keeping.archive._write_table", full)
    with pytest.raises(StorageError, match="No space left on device"):
        archive.make(data.place, tmp_path / "a.tar", 1.0)
    assert os.listdir(str(tmp_path)) == ["ws"]


# ---- list

def test_a_workspace_is_listed(data: Data, shell: Shell) -> None:
    Data(shell.workspace, "empty").close()
    (shell.workspace / "broken" / "meta").mkdir(parents=True)
    (shell.workspace / "broken" / "meta" / "jobs.db").write_bytes(b"nothing of ours" * 100)
    (shell.workspace / "other").mkdir()
    with served(data.place):
        status, out, _ = shell.run("list")
        _, told, _ = shell.run("list", "--json")
    lines = out.splitlines()
    assert status == 1 and [line.split()[0] for line in lines] == [
        "experiment", "broken", "empty", "exp", "broken:"]
    assert lines[3].split()[1:7] == ["3", "1", "0", "1", "1", "5"]
    assert lines[3].endswith("http://127.0.0.1:5000") and lines[2].endswith(" -")
    assert "not a database" in lines[4]
    entries = {one["expId"]: one for one in json.loads(told)["experiments"]}
    assert entries["exp"]["running"] and not entries["empty"]["running"]
    assert entries["exp"]["jobs"] == {"PENDING": 1, "SERVED": 0, "DONE": 1, "ABORTED": 1, "DELETED": 0}
    assert entries["broken"]["problem"] and entries["empty"]["problem"] is None
    used = (data.place.meta / "jobs.db-wal").stat().st_mtime
    assert entries["exp"]["used_at"] == pytest.approx(used)
    assert overview.entry(data.place).size_bytes > sum(map(len, data.contents().values()))


def test_a_workspace_that_is_not_there_has_none(shell: Shell) -> None:
    assert "no experiment in %s" % shell.workspace in shell.done("list")
    assert not shell.workspace.exists()


# ---- remove

def test_what_is_removed_is_said_and_what_is_not_ours_stays(data: Data, shell: Shell) -> None:
    data.close()
    (data.place.directory / "notes.txt").write_text("mine")
    (data.place.quarantine).mkdir()
    told = shell.done("remove", EXPERIMENT, "--yes")
    assert told.startswith("removed exp: jobs: 1 PENDING, 1 DONE, 1 ABORTED, ") and "notes.txt" in told
    assert files_below(shell.workspace) == ["exp/notes.txt"]
    (data.place.directory / "notes.txt").unlink()


def test_nothing_is_left_of_it(data: Data, shell: Shell) -> None:
    data.close()
    shell.done("remove", "EXP", "--yes")
    assert os.listdir(str(shell.workspace)) == []


def test_one_that_is_served_or_not_there_is_refused(data: Data, shell: Shell) -> None:
    with served(data.place):
        before = files_below(data.place.data)
        status, _, err = shell.run("remove", EXPERIMENT, "--yes")
        assert status == 1 and "runs at http://127.0.0.1:5000; stop it first" in err
        with pytest.raises(JdError, match="it cannot be removed meanwhile"):
            removal.remove(data.place)
    status, _, err = shell.run("remove", "none", "--yes")
    assert status == 1 and "there is no experiment none" in err
    assert files_below(data.place.data) == before and data.place.database.exists()


@pytest.mark.parametrize("terminal, typed, status, says", [
    (False, "", 2, "Nobody is there to ask; give --yes"), (True, "yes", 1, "nothing was removed"),
    (True, "exp", 0, "removed exp")])
def test_it_asks_first(data: Data, shell: Shell, monkeypatch: pytest.MonkeyPatch, terminal: bool, typed: str,
                       status: int, says: str) -> None:
    asked: List[str] = []
    monkeypatch.setattr("jd.server.command.keeping.removing.is_terminal", lambda stream: terminal)

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return typed

    monkeypatch.setattr("builtins.input", answer)
    found, out, err = shell.run("remove", EXPERIMENT)
    assert found == status and says in out + err and len(asked) == terminal
    assert data.place.database.exists() == (status != 0)
    assert "3 PENDING" not in out and "1 PENDING, 1 DONE, 1 ABORTED" in out + err


def test_the_variable_of_a_start_names_nothing_to_be_removed(data: Data, shell: Shell,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_SERVER_EXP_ID", EXPERIMENT)
    status, _, err = shell.run("remove", "--yes")
    assert status == 2 and "EXP" in err and data.place.database.exists()


@pytest.mark.parametrize("point, left", [("keeping.remove.before-rename", True),
                                         ("keeping.remove.before-rename:2", False),
                                         ("keeping.remove.after-rename", False)])
def test_a_removal_that_was_killed_leaves_all_or_is_completed(data: Data, shell: Shell, tmp_path: Path,
                                                              point: str, left: bool) -> None:
    data.close()
    words = ["remove", EXPERIMENT, "--yes", "--workspace_path", str(shell.workspace)]
    ended = subprocess.run(python("-m", "jd.server", *words), env=free_env(tmp_path, JD_KILL_POINT=point),
                           timeout=60)
    assert ended.returncode == -9 and Place(data.place.directory).database.exists() == left
    shell.done("remove", EXPERIMENT, "--yes")
    assert files_below(shell.workspace) == []
