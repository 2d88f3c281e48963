"""Files that we have written, as a crash, a disk or somebody else may leave them: registry, outbox, ledger,
access files, variables. What cannot be read is passed over, set aside, or refused with its path."""

import functools
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, Dict, List

from jd.errors import StorageError
from jd.messages import Result
from jd.net.finding import accessfile, published
from jd.script import uploaded
from jd.server.hubside import knowledge
from jd.storage.serverlock import ServerLock
from jd.sweep import envfile
from jd.worker.local import outboxes, registry, rows, schema
from jd.worker.uplink import outbox
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.uplink.waitingfiles import WaitingFiles
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property, outcome, refused

PATH = Path("/nonexistent-home/file.json")


class Scratch:
    """A directory for one input."""

    def __enter__(self) -> Path:
        self.path = Path(tempfile.mkdtemp(prefix="jd-fuzz-"))
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(str(self.path))


def changed(source: Source, good: Dict[str, Any], part: float = 0.25) -> bytes:
    """A JSON file of ours with some values that are none of ours."""
    body: Any = dict(good)
    for name in list(good):
        if source.chance(part):
            body[name] = source.one(
                source.value(2, True),
                source.text(3, True),
                None,
                -1,
                2**70,
                float("nan"),
                float("inf"),
                "",
                "\0",
                "../x",
                [source.text(1)],
                {},
            )
        if source.chance(0.05):
            del body[name]
    if source.chance(0.05):
        body = source.value(3, True)
    text = json.dumps(body) if source.chance(0.97) else source.nested()
    return source.maybe_bytes(utf8(source.maybe(text, 0.15)), 0.1)


# ---- registry


def make_row(source: Source) -> List[Any]:
    """Values of a row: any type in any column."""
    row: List[Any] = []
    for name in rows._COLUMNS:
        row.append(
            source.one(
                name,
                source.text(2),
                source.below(10**6),
                source.one(None, 0.5, float("inf"), -1, 2**63 - 1, b"\xff\x00", "\0", source.number()),
                "h_egg_0",
            )
        )
        if name == "config_json":
            row[-1] = (
                source.maybe(
                    source.json(
                        {"server": source.value(1), "tags": source.value(1), "server_file": source.value(1)}
                    ),
                    0.3,
                )
                if source.chance(0.95)
                else source.nested()
            )
    return row


def check_row(given: List[Any]) -> None:
    """A row of whatever client is read; what is shown of it is made."""
    db = sqlite3.connect(":memory:")
    try:
        marks = ", ".join("? AS %s" % name for name in rows._COLUMNS)
        values = db.execute(
            "SELECT " + marks,
            [
                value.encode("utf-8", "surrogatepass")
                if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)
                else value
                for value in given
            ],
        ).fetchone()
    finally:
        db.close()
    row = rows.row_of(values)
    assert isinstance(row.pid, int) and isinstance(row.tags, tuple) and isinstance(row.server, str)
    assert row.slot >= 0 and row.is_published in (True, False)


@functools.lru_cache(maxsize=None)
def _database() -> bytes:
    with Scratch() as place:
        path = place / "workers.db"
        db = sqlite3.connect(str(path))
        try:
            schema.migrate(db)
            db.execute(
                "INSERT INTO workers (worker_id, exp_id, pid, process_id, entry_script, started_at)"
                " VALUES ('h_egg_0', 'demo', 1, 0, 'train.py', 1.0)"
            )
            db.commit()
        finally:
            db.close()
        return path.read_bytes()


def make_database(source: Source) -> bytes:
    """What a registry's file may hold."""
    data = _database()
    at = source.below(4096) if source.chance(0.8) else source.below(len(data))
    return data[:at] + source.maybe_bytes(data[at : at + 40], 1.0)[:40] + data[at + 40 :]


def check_database(data: bytes) -> None:
    """Rows, or StorageError with the path."""
    with Scratch() as place:
        environ = {"JD_CACHE_PATH": str(place), "HOME": str(place)}
        there = registry.Registry("demo", environ)
        there.path.parent.mkdir(parents=True, mode=0o700)
        there.path.write_bytes(data)
        there.path.chmod(0o600)
        found = outcome(there.rows, StorageError)
        assert not refused(found) or str(there.path) in found[2], found


# ---- outbox


def make_entry(source: Source) -> bytes:
    """A result that waits."""
    result = Result(
        3, source.one("DONE", "ABORTED"), "message", source.one(1, None), None, 0, 1.5, "tail"
    ).to_json()
    body = {
        "result": json.loads(changed(source, result, 0.05).decode("utf-8", "replace"))
        if source.chance(0)
        else result,
        "server": "http://h:5000",
        "server_id": source.one("abc", None),
        "worker_id": "h_egg_0",
        "written": 1.7e9,
        "files": source.one(None, "3-1-ab.files", source.text(2, True) + ".files"),
    }
    if source.chance(0.3):
        result[source.of(sorted(result))] = source.value(2, True)
    return changed(source, body, 0.1)


def check_entry(content: bytes) -> None:
    """It is delivered, or set aside with a line in the log; what is read, is written and read as the same."""
    with Scratch() as place:
        path = place / "3-1-00000000.json"
        path.write_bytes(content)
        said: List[str] = []
        box = Outbox(in_directory(place), said.append)
        found = box.waiting("http://h:5000", "abc")
        outboxes._author(path), outboxes._files_of(path)
        if path.exists():
            for entry in found:
                again = outbox._from_json(json.loads(json.dumps(outbox._to_json(entry))), path)
                assert again == entry
                if entry.waiting_files is not None:
                    assert entry.waiting_files.parent == place
                    WaitingFiles(entry.waiting_files).items()
                box.remove(entry)
        else:
            assert Path(str(path) + ".bad").read_bytes() == content and len(said) == 1, said
        assert not found or not path.exists()


def make_item(source: Source) -> bytes:
    """The description of a file that waits."""
    return changed(
        source,
        {
            "route": source.one("/upload", "/upload_checkpoint", "/worker/output"),
            "name": source.text(3, True),
            "place": source.one(None, "a/b"),
            "offset": source.one(0, 5),
        },
        0.15,
    )


def check_item(content: bytes) -> None:
    """It is an item, or passed over."""
    with Scratch() as place:
        (place / "0000-ab.json").write_bytes(content)
        (place / "0000-ab.bin").write_bytes(b"x")
        for item in WaitingFiles(place).items():
            assert item.offset >= 0


# ---- other files


def make_access(source: Source) -> bytes:
    """An access file."""
    return changed(
        source,
        {
            "format": 1,
            "experiment": "demo",
            "server_id": "abc",
            "urls": ["http://127.0.0.1:5000"],
            "host": "h",
            "machine": "m",
            "pid_namespace": "p",
            "pid": 5,
            "started": "7",
            "token": "t" * 20,
            "certificate": None,
            "hub": None,
        },
        0.05,
    )


def check_access(content: bytes) -> None:
    """A place that is read as it is written, or StorageError with the path and without the token."""
    found = outcome(lambda: accessfile.parse(PATH, content), StorageError)
    if refused(found):
        assert str(PATH) in found[2] and "t" * 20 not in found[2], found
    else:
        assert accessfile.parse(PATH, json.dumps(found.to_json()).encode()) == found


def make_lines(source: Source) -> bytes:
    """A file of variables, one that publishes a URL, or a ledger."""

    def line() -> str:
        return source.one(
            "# a",
            "KEY=VALUE",
            "export A=b",
            "=",
            "A=",
            "'\"",
            "http://h:%s" % source.number()[:30],
            "https://[::1",
            "/path/token",
            source.text(5, True),
            json.dumps({"name": "a", "size": source.value(1), "mtime_ns": 5}),
            '{"name": "a", "size": Infinity, "mtime_ns": 1e400}',
            json.dumps({"data": source.value(1)}),
            source.json(source.value(2)),
        )

    return source.maybe_bytes(utf8(source.one("\n", "\r\n", "\r").join(source.several(line, 8))), 0.3)


def check_lines(content: bytes) -> None:
    """Variables; a place or StorageError with the path; versions."""
    text = content.decode("utf-8", "replace")
    for name, value in envfile.parse(text).items():
        assert name and name == name.strip() and "=" not in name
        assert envfile.parse("%s=%s" % (name, value)).keys() == {name}
    place = outcome(lambda: published._of_lines(PATH, text), StorageError)
    assert not refused(place) or str(PATH) in place[2]


def check_ledger(content: bytes) -> None:
    """Lines that cannot be read are skipped."""
    with Scratch() as place:
        directory = place / "job"
        path = Path(uploaded.beside(directory))
        path.parent.mkdir()
        path.write_bytes(content)
        data, versions = uploaded.read(directory)
        assert data is None or isinstance(data, str)
        assert all(isinstance(number, int) for version in versions.values() for number in version)


def make_facts(source: Source) -> bytes:
    """`meta/server.json`, `meta/hub.json`."""
    return changed(
        source,
        {
            "pid": 5,
            "url": "http://h",
            "hub_url": "http://hub",
            "secret": "s" * 40,
            "experiment_id": "7",
            "owner_id": "3",
            "owner": "me",
            "refused_at": None,
            "revoked_jtis": ["a"],
        },
        0.15,
    )


def check_facts(content: bytes) -> None:
    """What is known, or nothing."""
    with Scratch() as place:
        for name in ("server.json", "hub.json"):
            (place / name).write_bytes(content)
        assert isinstance(ServerLock(place, "demo").owner(), dict)
        found = knowledge.kept(place / "hub.json", "http://hub")
        assert found is None or found.secret


PROPERTIES = (
    Property(
        "registry-row",
        make_row,
        check_row,
        ([float("inf")] * 19, [None] * 19, ["[" * 5000] * 19, [b"\xff"] * 19),
        weight=40,
    ),
    Property("registry-file", make_database, check_database, (b"", b"x" * 5000), weight=1),
    Property(
        "outbox-entry",
        make_entry,
        check_entry,
        (
            b"",
            b"{",
            b"[" * 5000,
            b'{"result": {}}',
            b"9" * 5000,
            json.dumps(
                {
                    "result": {"job_id": 3, "status": "DONE"},
                    "server": "http://h:5000",
                    "worker_id": "w",
                    "files": "\0.files",
                }
            ).encode(),
        ),
        weight=10,
    ),
    Property(
        "waiting-file",
        make_item,
        check_item,
        (b"[" * 50_000, b"5", b'{"route": "upload", "name": "a", "offset": 1e400}'),
        weight=10,
    ),
    Property("access-file", make_access, check_access, (b"", b"[" * 50_000), weight=40),
    Property("lines-file", make_lines, check_lines, (b"", b"\0=\0", b"\xef\xbb\xbfA=b"), weight=40),
    Property(
        "ledger",
        make_lines,
        check_ledger,
        (b'{"name": "a", "size": Infinity, "mtime_ns": 1}', b"[" * 50_000),
        weight=10,
    ),
    Property("server-facts", make_facts, check_facts, (b"[" * 50_000, b"9" * 5000), weight=10),
)
