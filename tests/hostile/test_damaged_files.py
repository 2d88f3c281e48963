"""Whatever becomes of a file of ours: who reads it ends with one line that names it, or does without.

Each kind of file is written by what writes it, and then changed: bytes flipped at random (with a seed), cut
short, emptied, filled with zeros, replaced by a directory or by a pipe that nobody writes to, closed to its
owner. The reader may give an answer or raise a JdError on one line, nothing else, and must not wait.
"""

import fcntl
import io
import json
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest

from jd.auth import checkpointkey, servertoken, sharedtoken, tokenfiles
from jd.cli.checkup import remains
from jd.cli.shell.history import History
from jd.cli.showing import logtail
from jd.errors import JdError
from jd.hub.data import HubData
from jd.messages import Result
from jd.net.finding import accessfile, published
from jd.node.identity import Here
from jd.protocol import UPLOAD
from jd.script import signature, uploaded
from jd.script.signature import Signer
from jd.server.command import owncert, publishing
from jd.server.experiment import Experiment
from jd.server.hubside import knowledge, ownhub
from jd.server.store import direct
from jd.server.store.files import resultfile
from jd.server.store.policy import Policy
from jd.storage.serverlock import AlreadyServed, ServerLock, holder
from jd.worker import config
from jd.worker.attempt.files import checkpointtar, jobdir
from jd.worker.local import cleanup, outboxes
from jd.worker.local.registry import Registry
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.uplink.waitingfiles import WaitingFiles

PATIENCE = 5  # seconds, for what must not wait
KEY = "0123456789abcdef" * 4
TOKEN = "t" * 40


class Kind(NamedTuple):
    """`make` writes the file, below a directory, and gives its path; `read` is given that directory. What is
    `costly` to read is changed less often."""

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    costly: bool = False


def environ(root: Path) -> Dict[str, str]:
    return {"HOME": str(root), "JD_CACHE_PATH": str(root / "cache"), "JD_ACCESS_DIR": str(root / "servers"),
            "JD_EXP_ID": "exp", "JD_WORKER_ID": "w_egg_0", "JD_WORKER_TOKEN": "a.b.c"}


# ---- databases

def make_registry(root: Path) -> Path:
    registry = Registry("exp", environ(root))
    (name, _) = registry.reserve([0, 1], {"entry_script": "train.py", "server": "http://s"}, Here(), 1.0)
    registry.update(name, "busy", 7, 2.0, "session")
    registry.set_draining()
    return registry.path


def read_registry(root: Path) -> None:
    registry, here = Registry("exp", environ(root)), Here()
    asked: List[Callable[[], object]] = [
        registry.rows, registry.draining, lambda: registry.row("w_egg_0"),
        lambda: registry.update("w_egg_0", "idle", None, None),
        lambda: [config.from_json(row.config, {}) for row in registry.rows()],
        lambda: cleanup.clean_up(environ(root), here)]
    assert tokenfiles.newest(environ(root))
    for ask in asked:
        try:
            ask()
        except JdError as error:
            one_line(error)


def make_jobs(root: Path) -> Path:
    experiment = Experiment(root / "ws", "exp", Policy())
    experiment.write_now(lambda t: t.db.executemany(
        "INSERT INTO jobs (status, parameters) VALUES ('PENDING', ?)", [('{"x": 1}',)] * 9) and None)
    experiment.close()
    return root / "ws" / "exp" / "meta" / "jobs.db"


def read_jobs(root: Path) -> None:
    try:
        direct.write(direct.find(root / "ws", "exp"), lambda t: None)
    except JdError as error:
        one_line(error)
    Experiment(root / "ws", "exp", Policy()).close()


def make_hub(root: Path) -> Path:
    HubData(root / "hub").close()
    return root / "hub" / "hub.db"


def read_hub(root: Path) -> None:
    data = HubData(root / "hub", create=False)
    try:
        data.url()
    finally:
        data.close()


# ---- files of servers

def make_access(root: Path) -> Path:
    path = accessfile.path_of("exp", environ(root))
    accessfile.write(path, accessfile.Place(
        "exp", "id", ("http://127.0.0.1:5000",), "host", accessfile.Seat("m", "p", 7, "8"), TOKEN))
    return path


def read_access(root: Path) -> None:
    path = accessfile.path_of("exp", environ(root))
    for ask in (lambda: accessfile.find("exp", environ(root)), lambda: published.read(path, ask=False),
                lambda: published.current("http://s", str(path))):
        try:
            ask()
        except JdError as error:
            one_line(error)


def make_published(root: Path) -> Path:
    publishing.publish(root / "url", "http://127.0.0.1:5000", root / "token")
    return root / "url"


def read_published(root: Path) -> None:
    publishing.withdraw(root / "url", "http://elsewhere")
    published.read(root / "url", ask=False)


def make_token(root: Path) -> Path:
    servertoken.kept(root / "token")
    return root / "token"


def make_facts(root: Path) -> Path:
    ServerLock(root, "server").publish({"pid": 7, "server_url": "http://s", "host": "h"})
    return root / "server.json"


def read_facts(root: Path) -> None:
    first, second = ServerLock(root, "server"), ServerLock(root, "server")
    assert isinstance(second.owner(), dict)
    with open(str(root / "server.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert isinstance(holder(root, "server"), dict)
        with pytest.raises(AlreadyServed):
            second.take()
    first.take()
    first.release()


def make_lock(root: Path) -> Path:
    (root / "server.lock").write_bytes(b"")
    return root / "server.lock"


def read_lock(root: Path) -> None:
    holder(root, "server")
    lock = ServerLock(root, "server")
    try:
        lock.take()
    except OSError:
        return  # said by who takes it
    lock.release()


def make_knowledge(root: Path) -> Path:
    knowledge.keep(root / "hub.json", "http://hub", knowledge.Known("secret", "id", frozenset(["a", "b"])))
    return root / "hub.json"


def make_admin_key(root: Path) -> Path:
    (root / ownhub.KEY_FILE).write_text("jd_" + "k" * 40 + "\n")
    return root / ownhub.KEY_FILE


def make_certificate(root: Path) -> Path:
    (root / "tls-cert.pem").write_text("-----BEGIN CERTIFICATE-----\n" + "A" * 900)
    return root / "tls-cert.pem"


# ---- files of workers and scripts

def make_result(root: Path) -> Path:
    path = Outbox(in_directory(root / "box"), print).put(
        Result(5, "DONE", "m", 2, "done", 0, 1.0, "tail"), "http://s", "data", "w_0").path
    assert path is not None
    return path


def read_result(root: Path) -> None:
    place = in_directory(root / "box")
    remains._server_of(next((root / "box").iterdir()))
    outboxes._author(next((root / "box").iterdir()))
    box = Outbox(place, print)
    box.waiting("http://s", "data")
    box.left()


def make_waiting(root: Path) -> Path:
    return WaitingFiles(root / "1-1-ab.files").add(UPLOAD, "a.txt", io.BytesIO(b"content")).description


def make_ledger(root: Path) -> Path:
    (root / "7").mkdir()
    uploaded.begin(root / "7", "data", [("a.txt", (1, 2)), ("b.txt", (3, 4))])
    return Path(uploaded.beside(root / "7"))


def read_ledger(root: Path) -> None:
    uploaded.add(root / "7", str(root / "7" / "c.txt"), (5, 6))
    try:
        uploaded.read(root / "7")
    except OSError:
        pass  # the worker says it in the job's history


def make_mark(root: Path) -> Path:
    jobdir.prepare(root / "7", "data", 1)
    (root / "7" / "result.json").write_text("{}")
    return root / jobdir.MARKS / "7"


def read_log(root: Path) -> None:
    try:
        logtail.tail(root / "worker.log", 5, lambda data: None).close()
    except OSError:
        pass  # the command says it


def make_key(root: Path) -> Path:
    checkpointkey.home_key({"HOME": str(root)})
    return checkpointkey.key_file({"HOME": str(root)})


def make_signed(root: Path) -> Path:
    with open(str(root / "checkpoint.pt"), "w+b") as file:
        file.write(b"content" * 50)
        signature.sign(file, Signer([KEY], "exp", 7), "it")
    return root / "checkpoint.pt"


def read_signed(root: Path) -> None:
    try:
        content = (root / "checkpoint.pt").read_bytes() if (root / "checkpoint.pt").is_file() else b""
    except PermissionError:
        return
    file = io.BytesIO(content)
    trailer = signature.read(file)
    if trailer is not None:
        assert isinstance(trailer.experiment, str)
        # A changed file is never taken for the one that was signed.
        assert not signature.fits(file, trailer, [KEY]) or trailer.claim == Signer([KEY], "exp", 7).claim


def make_archive(root: Path) -> Path:
    (root / "state" / "deep").mkdir(parents=True)
    (root / "state" / "deep" / "a.bin").write_bytes(b"a" * 2000)
    (root / "state" / "link").symlink_to("deep/a.bin")
    with open(str(root / "archive.tar"), "wb") as file:
        checkpointtar.pack(root / "state", file)
    return root / "archive.tar"


def read_archive(root: Path) -> None:
    path = root / "archive.tar"
    if path.is_file() and os.access(str(path), os.R_OK):
        with open(str(path), "rb") as file:
            checkpointtar.unpack(file, root / "unpacked")


def make_history(root: Path) -> Path:
    history = History(environ(root))
    for line in ("stop all", "worker-list"):
        history.add(line)
    return history.path


def make_log(root: Path) -> Path:
    (root / "worker.log").write_text("a line\n" * 50)
    return root / "worker.log"


def make_numbers(root: Path) -> Path:
    (root / "result.json").write_text(json.dumps({"loss": 0.5, "deep": {"a": [1, 2, {"b": 1e300}]}}))
    return root / "result.json"


def read_numbers(root: Path) -> None:
    try:
        resultfile.read(root / "result.json", 100)
    except OSError:
        pass  # who has just taken the file says it


KINDS = [
    Kind("workers.db", make_registry, read_registry, True),
    Kind("jobs.db", make_jobs, read_jobs, True),
    Kind("hub.db", make_hub, read_hub, True),
    Kind("access file", make_access, read_access),
    Kind("published URL", make_published, read_published),
    Kind("token", make_token, lambda root: sharedtoken.read_token_file(root / "token")),
    Kind("server's token", make_token, lambda root: servertoken.kept(root / "token")),
    Kind("server.json", make_facts, read_facts),
    Kind("server.lock", make_lock, read_lock),
    Kind("hub.json", make_knowledge, lambda root: knowledge.kept(root / "hub.json", "http://hub")),
    Kind("admin.key", make_admin_key, ownhub.kept_key),
    Kind("certificate", make_certificate, lambda root: owncert.text(root / "tls-cert.pem")),
    Kind("outbox entry", make_result, read_result),
    Kind("file that waits", make_waiting, lambda root: WaitingFiles(root / "1-1-ab.files").items()),
    Kind("uploads", make_ledger, read_ledger),
    Kind("mark", make_mark, lambda root: jobdir.prepare(root / "7", "data", 1)),
    Kind("checkpoint key", make_key, lambda root: checkpointkey.home_key({"HOME": str(root)})),
    Kind("signature", make_signed, read_signed),
    Kind("checkpoint archive", make_archive, read_archive),
    Kind("history", make_history, lambda root: History(environ(root)).add("exp-list")),
    Kind("log", make_log, read_log),
    Kind("result.json", make_numbers, read_numbers),
]


# ---- what becomes of them

def flips(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count if content else 0):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 16))):
            changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
        yield bytes(changed)


def contents(content: bytes, seed: int, count: int) -> List[bytes]:
    chance = random.Random(seed)
    cut = [content[:chance.randrange(len(content) or 1)] for _ in range(count // 5 + 1)]
    noise = bytes(chance.randrange(256) for _ in range(300))
    return [b"", bytes(len(content)), content + noise, noise, b"[" * 100_000, b"9" * 5000, b'{"a": 1e999}',
            b"null", *cut, *flips(content, seed, count)]


def put_directory(path: Path) -> None:
    path.mkdir()


def put_pipe(path: Path) -> None:
    os.mkfifo(str(path), 0o600)


def put_closed(path: Path) -> None:
    path.write_bytes(b"x")
    path.chmod(0)


OTHERS = (put_directory, put_pipe, put_closed)


def one_line(error: JdError) -> None:
    assert "\n" not in str(error) and str(error)


def tried(kind: Kind, root: Path) -> None:
    """Read it in a copy of its surroundings, which a reader may change."""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        kind.read(root)
    except JdError as error:
        one_line(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    def waits(*_: Any) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, waits)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointkey, "_PATIENCE", 0.0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damage_is_one_line(kind: Kind, tmp_path: Path) -> None:
    root = tmp_path / "whole"
    root.mkdir()
    path = kind.make(root)
    place, content = path.relative_to(root), path.read_bytes()
    shutil.copytree(str(root), str(tmp_path / "read"), symlinks=True)
    kind.read(tmp_path / "read")  # it is whole: nothing is raised
    for number, changed in enumerate(contents(content, 7, 12 if kind.costly else 60)):
        copy = tmp_path / str(number)
        shutil.copytree(str(root), str(copy), symlinks=True)
        (copy / place).write_bytes(changed)
        tried(kind, copy)
        shutil.rmtree(str(copy), ignore_errors=True)
    for number, put in enumerate(OTHERS):
        copy = tmp_path / ("other%d" % number)
        shutil.copytree(str(root), str(copy), symlinks=True)
        (copy / place).unlink()
        put(copy / place)
        tried(kind, copy)
