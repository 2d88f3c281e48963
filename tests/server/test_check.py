"""`jd_server check`: what it finds, what the repair does, and that it deletes nothing."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from jd.errors import StorageError
from jd.server.keeping import check, repair
from jd.server.store import direct
from jd.server.store.files import names
from jd.server.store.operators import batches
from jd.server.store.pages import joblist
from tests.server.keeping_support import DIRECTORY, EXPERIMENT, Data, Shell, served
from tests.server.store_support import put


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    """Three jobs that are done and two that wait."""
    opened = Data(tmp_path / "ws")
    opened.desk.create(5)
    for number in range(3):
        opened.run(number)
    opened.prints(1, 1, "printed")
    yield opened
    opened.close()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "ws", capsys)


def sql(data: Data, *statements: str) -> None:
    for statement in statements:
        data.desk.write(lambda t, text=statement: t.db.execute(text))  # type: ignore[misc]


def everything(data: Data) -> List[bytes]:
    """All bytes of the user's that are anywhere below the experiment."""
    return sorted({path.stat().st_ino: path.read_bytes() for path in data.place.directory.rglob("*")
                   if path.is_file() and not path.name.startswith(("jobs.db", "server.", "rows"))}.values())


def stored(data: Data, job_id: int, name: str) -> Path:
    return names.actual(data.place.data / str(job_id) / name)


def _files_of_no_job(data: Data) -> None:
    (data.place.data / "99").mkdir()
    (data.place.data / "99" / "y").write_bytes(b"y")


def _leftovers(data: Data) -> None:
    (data.place.data / ".incoming" / "ab").write_bytes(b"1")
    (data.place.meta / ".backup-1.db").write_bytes(b"2")


def _curves_no_points(data: Data) -> None:
    data.reports(3, 1, 40)
    data.reports(2, 1, 3)
    sql(data, "UPDATE report_chunks SET body = x'0102' WHERE series_id ="
              " (SELECT id FROM report_series WHERE job_id = 3)")


def _name_of_an_older_one(data: Data) -> None:
    name = data.place.data / "1" / "result.json"
    name.unlink()
    os.link(str(stored(data, 1, "result.json")), str(name))


# What breaks the data, the kinds of faults that are found then, and a word of what the repair says.
DAMAGE: Dict[str, Tuple[Callable[[Data], object], List[str], str]] = {
    "counter": (lambda d: sql(d, "UPDATE job_counts SET n = 17 WHERE status = 'DELETED'"),
                [check.COUNTER], "counted the jobs anew"),
    "file gone": (lambda d: os.unlink(str(stored(d, 2, "a.txt"))), [check.MISSING], "removed the row"),
    "first version gone": (lambda d: os.unlink(str(stored(d, 3, "result.json"))),
                           [check.MISSING], "removed the row"),
    "file cut": (lambda d: os.truncate(str(stored(d, 3, "a.txt")), 1), [check.SIZE], "was not whole"),
    "file without row": (lambda d: (d.place.data / "3" / "x").write_bytes(b"x"), [check.STRAY], "moved"),
    "files of no job": (_files_of_no_job, [check.STRAY], "moved"),
    "output of no job": (lambda d: d.prints(77, 1, "who?"), [check.STRAY], "moved"),
    "leftovers": (_leftovers, [check.LEFTOVER, check.LEFTOVER], "moved"),
    "name of an older one": (_name_of_an_older_one, [check.NAME], "put right when the server starts"),
    "attempt never ended": (lambda d: sql(d, "UPDATE attempts SET verdict = NULL WHERE job_id = 1"),
                            [check.ATTEMPT], "ended attempt 1 of job 1 as lost"),
    "served by nobody": (lambda d: d.desk.write(lambda t: put(t, "SERVED", 5)),
                         [check.ATTEMPT], "put job 5 back"),
    "parameters cut": (lambda d: sql(d, "UPDATE jobs SET parameters = '{\"x\": 1' WHERE id = 4"),
                       [check.TEXT], "set the parameters of job 4 aside"),
    "results no text": (lambda d: sql(d, "UPDATE jobs SET results = CAST(X'7BFF7D' AS TEXT) WHERE id = 2"),
                        [check.TEXT], "set the results of job 2 aside"),
    "curves no points": (_curves_no_points, [check.CURVES], "removed what attempt 1 of job 3 has reported"),
}


def test_sound_data_is_sound_and_stays_as_it_is(data: Data, shell: Shell) -> None:
    before = everything(data)
    assert shell.done("check", "--expId", EXPERIMENT) == "exp is sound: 5 jobs, 15 files\n"
    assert shell.done("check", "--expId", EXPERIMENT, "--repair") == "exp is sound: 5 jobs, 15 files\n"
    assert everything(data) == before and not data.place.quarantine.exists()


def test_damage_is_found_and_repaired_without_losing_a_byte(data: Data, shell: Shell) -> None:
    for name, (breaks, kinds, _) in DAMAGE.items():
        found = [fault.kind for fault in check.check(data.place).faults]
        breaks(data)
        after = [fault.kind for fault in check.check(data.place).faults]
        assert sorted(after) == sorted(found + kinds), name
    before = everything(data)
    status, out, err = shell.run("check", "--expId", EXPERIMENT, "--json")
    told = json.loads(out)
    expected = sorted(kind for _, kinds, _ in DAMAGE.values() for kind in kinds)
    assert (status, err, sorted(fault["kind"] for fault in told["faults"])) == (1, "", expected)
    assert everything(data) == before and not data.place.quarantine.exists()
    told_of_it = shell.done("check", "--expId", EXPERIMENT, "--repair")
    for name, (_, _, says) in DAMAGE.items():
        assert says in told_of_it, name
    assert "kept the database as it was: %s" % data.place.quarantine in told_of_it
    assert told_of_it.splitlines()[-1].startswith("exp is sound: ")
    assert everything(data) == before
    assert shell.done("check", "--expId", EXPERIMENT).startswith("exp is sound")
    with closing(sqlite3.connect(str(data.place.database))) as db:
        assert db.execute("SELECT error FROM attempts WHERE job_id = 1 AND number = 1").fetchone() == (
            repair.SAID,)


def test_a_row_that_is_removed_is_kept_and_told_in_the_history(data: Data, shell: Shell) -> None:
    stored(data, 2, "a.txt").unlink()
    shell.done("check", "--expId", EXPERIMENT, "--repair")
    (kept,) = data.place.quarantine.glob("*/rows.jsonl")
    row = json.loads(kept.read_text())
    assert (row["job_id"], row["stored_name"], row["path"]) == (2, "a.txt", "out/a.txt")
    line = data.desk.sql("SELECT reason FROM job_history WHERE job_id = 2 ORDER BY id DESC LIMIT 1")
    assert line == "jd_server check --repair: upload a.txt is missing, and does not count any more"
    assert os.listdir(str(kept.parent)) and (kept.parent / "jobs.db").stat().st_size > 0


def test_a_job_that_cannot_be_read_is_kept_and_all_are_shown_again(data: Data, shell: Shell) -> None:
    sql(data, "UPDATE jobs SET parameters = '{\"x\": 1' WHERE id IN (1, 4)",
        "UPDATE jobs SET results = CAST(X'7BFF7D' AS TEXT) WHERE id = 1")
    status, _, err = shell.run("archive", shell.workspace / "a.tar", "--expId", EXPERIMENT)
    assert status == 1 and "database %s is damaged" % data.place.database in err and "jd_server check" in err
    shell.done("check", "--expId", EXPERIMENT, "--repair")
    (kept,) = data.place.quarantine.glob("*/rows.jsonl")
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [
        {"job_id": 1, "parameters": '{"x": 1'}, {"job_id": 1, "results": "{\\xff}"},
        {"job_id": 4, "parameters": '{"x": 1'}]
    data.desk.read(lambda db: joblist.select(db, joblist.JobQuery()))
    assert data.desk.counts() == {"PENDING": 1, "DONE": 3, "ABORTED": 1}
    line = data.desk.sql("SELECT reason FROM job_history WHERE job_id = 4 ORDER BY id DESC LIMIT 1")
    assert line == "jd_server check --repair: its parameters could not be read, and are in %s" % kept
    assert data.desk.claim().job_id == 5
    shell.done("archive", shell.workspace / "a.tar", "--expId", EXPERIMENT)


def test_a_job_that_runs_and_cannot_be_read_is_ended(data: Data, shell: Shell) -> None:
    assert data.desk.claim().job_id == 4
    sql(data, "UPDATE jobs SET parameters = '[]' WHERE id = 4")
    assert shell.done("check", "--expId", EXPERIMENT, "--repair").endswith("exp is sound: 5 jobs, 15 files\n")
    assert data.desk.sql("SELECT verdict FROM attempts WHERE job_id = 4") == "lost"


def test_an_emptied_database_is_no_earlier_version(data: Data, shell: Shell) -> None:
    data.desk.database.close()
    os.truncate(str(data.place.database), 0)
    for words in (["check"], ["check", "--repair"]):
        status, _, err = shell.run(*words, "--expId", EXPERIMENT)
        assert status == 1 and "is damaged: there is nothing in it; go back to a backup" in err
        assert "--begin-anew" in err and err.count("\n") == 1


def test_a_batch_that_is_not_whole_is_not_counted(data: Data, shell: Shell) -> None:
    """A server that starts removes it, and counts on its not being there."""
    before = data.desk.counts()
    first = data.desk.write(batches.begin)
    data.desk.write(lambda t: batches.add(t, first, ['{"x": 1}', '{"x": 2}']))
    sql(data, "UPDATE job_counts SET n = 17 WHERE status = 'DONE'")
    assert shell.done("check", "--expId", EXPERIMENT, "--repair").endswith("exp is sound: 5 jobs, 15 files\n")
    assert data.desk.counts() == before
    while data.desk.write(batches.abandon):
        pass
    assert data.desk.counts() == before


def test_a_repair_waits_for_the_server_and_a_check_does_not(data: Data, shell: Shell) -> None:
    sql(data, "UPDATE job_counts SET n = 17 WHERE status = 'DONE'")
    with served(data.place):
        status, out, _ = shell.run("check", "--expId", EXPERIMENT)
        assert status == 1 and "the counter of DONE jobs is 17, and there are 3" in out
        status, out, err = shell.run("check", "--expId", EXPERIMENT, "--repair")
        assert status == 1 and "runs (pid 4711 on node1)" in err and "stop it first" in err
    assert data.desk.counts()["DONE"] == 17 and not data.place.quarantine.exists()


def test_beside_a_server_what_is_being_stored_is_no_fault(data: Data) -> None:
    """A file is in its place before its row is."""
    (data.place.data / "3" / "new.bin").write_bytes(b"x")
    (data.place.data / ".incoming" / "ab").write_bytes(b"1")
    with served(data.place):
        assert check.check(data.place).faults == []
    assert sorted(check.kinds(check.check(data.place).faults)) == [check.LEFTOVER, check.STRAY]


def test_a_name_that_the_server_is_to_put_right_is_no_fault(data: Data) -> None:
    data.desk.write(lambda t: names.due(t, [1]))
    (data.place.data / "1" / "result.json").unlink()
    assert check.check(data.place).faults == []


@pytest.mark.parametrize("action", ["from scratch", "superseded", "deleted"])
def test_what_servers_do_leaves_no_fault(data: Data, action: str) -> None:
    if action == "from scratch":
        sql(data, "UPDATE jobs SET scratch = 1 WHERE id = 1")
        data.desk.write(lambda t: names.due(t, [1]))
        data.desk.write(lambda t: names.show_due(t, data.place.data))
    elif action == "superseded":
        job = data.desk.claim("w").job_id
        for number in range(6):
            data.checkpoint(job, DIRECTORY + b"%d" % number)
    else:
        sql(data, "UPDATE jobs SET deleted_from = 'DONE' WHERE id = 1")
        data.desk.write(lambda t: put(t, "DELETED", 1))
    assert check.check(data.place).faults == []


def test_indexes_are_made_anew_and_worse_is_left_with_what_to_do(data: Data, shell: Shell) -> None:
    data.desk.database.close()
    with sqlite3.connect(str(data.place.database), isolation_level=None) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs_by_status'").fetchone()[0]
        db.execute("PRAGMA writable_schema = ON")
        other = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs_queue'").fetchone()[0]
        db.execute("PRAGMA journal_mode = DELETE")
        size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    with open(str(data.place.database), "r+b") as file:
        file.seek((other - 1) * size)
        page = file.read(size)
        file.seek((root - 1) * size)
        file.write(page)
    status, out, _ = shell.run("check", "--expId", EXPERIMENT)
    assert status == 1 and "database   the database: " in out
    assert "made the indexes of the database anew" in shell.done("check", "--expId", EXPERIMENT, "--repair")
    data.place.database.write_bytes(b"not a database, only text" * 400)
    for words in (["check"], ["check", "--repair"], ["backup", str(shell.workspace / "b.tar")]):
        status, _, err = shell.run(*words, "--expId", EXPERIMENT)
        assert status == 1 and "not a database" in err and err.count("\n") == 1
        assert ("jd_server check tells more" if words[0] == "backup" else "jd_server restore") in err


def test_indexes_that_could_not_be_made_anew_do_not_condemn_the_tables(
        data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    data.desk.database.close()
    monkeypatch.setattr(repair, "BUSY_TIMEOUT", 0)
    said: List[str] = []
    with closing(sqlite3.connect(str(data.place.database), isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="could not be made anew: database is locked") as refused:
            repair._reindex(data.place, said.append)
    assert said == [] and "the database is as it was" in str(refused.value.advice)


def test_what_changes_data_beside_the_server_needs_no_directory_for_temporary_files(
        data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is small, indexes could not be made anew, and sound data would be called damaged."""
    data.desk.database.close()
    in_memory = 2
    assert direct.write(data.place.database, lambda t: t.db.execute("PRAGMA temp_store").fetchone()[0]
                        ) == in_memory
    ran: List[str] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(*given: Any, **named: Any) -> sqlite3.Connection:
        db = connect(*given, **named)
        db.set_trace_callback(ran.append)
        return db

    monkeypatch.setattr(sqlite3, "connect", traced)
    repair._reindex(data.place, lambda line: None)
    assert ran.index("PRAGMA temp_store = MEMORY") < ran.index("REINDEX")


def test_where_nothing_can_be_written_all_that_is_in_one_file_is_read(
        data: Data, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite makes two files beside a database to read it, unless it is told that nobody changes that."""
    data.desk.database.close()
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def read_only(name: str, *given: Any, **named: Any) -> sqlite3.Connection:
        if "jobs.db?mode=" in name:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(name, *given, **named)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert shell.done("check", "--expId", EXPERIMENT) == "exp is sound: 5 jobs, 15 files\n"
    assert "5 jobs, 15 files" in shell.done("backup", shell.workspace / "b.tar", "--expId", EXPERIMENT)
    Path(str(data.place.database) + "-wal").write_bytes(b"more")
    status, _, err = shell.run("check", "--expId", EXPERIMENT)
    assert status == 1 and "a part of it is still in jobs.db-wal; copy the experiment to where" in err


def test_data_of_another_version_is_left_alone(data: Data, shell: Shell) -> None:
    sql(data, "PRAGMA user_version = 3")
    data.desk.database.close()
    with sqlite3.connect(str(data.place.database)) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    status, _, err = shell.run("check", "--expId", EXPERIMENT)
    assert status == 1 and "is of an earlier version (schema 3" in err and "start its server" in err
