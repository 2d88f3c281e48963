"""Data of an experiment that no server serves, with jobs that have run, for the commands that keep it."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from jd import messages, protocol
from jd.errors import run_command
from jd.server.command import cli
from jd.server.keeping.reading import Place
from jd.server.store.files import files, outputs, resultfile, results
from jd.server.store.reports import storage, taking
from jd.server.store.reports.interpreting import Told
from jd.server.store.transaction import Transaction
from jd.storage.serverlock import ServerLock
from tests.server.store_support import Desk

EXPERIMENT = "exp"
DIRECTORY = protocol.DIRECTORY_MARK + b" and then the rest of a tar"


class Data:
    """An experiment in a workspace; `desk` is its database, which stays open as that of a server does."""

    def __init__(self, workspace: Path, name: str = EXPERIMENT) -> None:
        self.workspace = workspace
        self.place = Place(workspace / name)
        self.place.meta.mkdir(parents=True, exist_ok=True)
        files.prepare(self.place.data)
        self.desk = Desk(self.place.meta)
        os.rmdir(str(self.place.meta / "data" / ".incoming"))
        os.rmdir(str(self.place.meta / "data"))

    def close(self) -> None:
        self.desk.database.close()

    def upload(self, job_id: int, name: str, content: bytes, path: Optional[str] = None) -> None:
        incoming = self._incoming(content)
        self.desk.write(lambda t: files.add_upload(t, self.place.data, job_id, None, name, incoming,
                                                   path=path))
        if name == "result.json":
            found = resultfile.parse(content)
            self.desk.write(lambda t: results.take(t, job_id, name, found))

    def checkpoint(self, job_id: int, content: bytes) -> None:
        incoming = self._incoming(content)
        self.desk.write(lambda t: files.add_checkpoint(t, self.place.data, job_id, None, incoming))

    def prints(self, job_id: int, attempt: int, text: str) -> None:
        outputs.Outputs(self.place.data).take(messages.OutputPiece(job_id, attempt, 0, text, True))

    def reports(self, job_id: int, attempt: int, count: int) -> None:
        """An attempt has reported so many numbers."""
        def write(t: Transaction) -> None:
            found = storage.begin(t, job_id, attempt)
            gathered = taking.Gathered({})
            for at in range(count):
                gathered.add(Told(float(at), None, {"acc": at / 7}))
            name_id = storage.add_metric(t, job_id, attempt, "acc")
            storage.add_piece(t, found.id, {name_id: gathered.points["acc"]})
            metrics = {"acc": gathered.metrics["acc"]._replace(name_id=name_id)}
            storage.save(t, storage.settle(t, found._replace(metrics=metrics), job_id, attempt)[0])

        self.desk.write(write)

    def run(self, loss: float) -> int:
        """Run a job with all that jobs have; its number."""
        job = self.desk.claim("w")
        self.upload(job.job_id, "result.json", b'{"loss": 9}')
        self.upload(job.job_id, "result.json", json.dumps({"loss": loss}).encode())
        self.upload(job.job_id, "a.txt", b"deep", "out/a.txt")
        self.checkpoint(job.job_id, b"object %d" % job.job_id)
        self.checkpoint(job.job_id, DIRECTORY + b"%d" % job.job_id)
        self.desk.finish(job.job_id, attempt=job.attempt, runtime=2.5, output_tail="epoch 1\nepoch 2\n")
        return job.job_id

    def _incoming(self, content: bytes) -> files.Incoming:
        incoming = files.Incoming(self.place.data)
        incoming.write(content)
        incoming.settle()
        return incoming

    def contents(self) -> Dict[Tuple[int, str], bytes]:
        """What each row has on disk."""
        ids = self.desk.read(lambda db: [row[0] for row in db.execute("SELECT id FROM jobs")])
        return {(job_id, found.path.name): found.path.read_bytes() for job_id in ids
                for found in self.desk.read(lambda db: files.of_job(db, self.place.data, job_id))}


@contextmanager
def served(place: Place) -> Iterator[None]:
    """As if a server of another process had the data."""
    lock = ServerLock(place.meta, "server")
    lock.take()
    lock.publish({"server_url": "http://127.0.0.1:5000", "pid": 4711, "host": "node1"})
    try:
        yield
    finally:
        lock.release()


class Shell:
    """`jd_server` with a workspace."""

    def __init__(self, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace = workspace
        self._capsys = capsys

    def run(self, *words: Any) -> Tuple[int, str, str]:
        """Status, what it printed, and what it said on stderr."""
        argv: List[str] = [*map(str, words), "--workspace_path", str(self.workspace)]
        status = run_command(cli.main, argv)
        told = self._capsys.readouterr()
        return status, told.out, told.err

    def done(self, *words: Any) -> str:
        """What it printed, having succeeded."""
        status, out, err = self.run(*words)
        assert status == 0, err
        return out
