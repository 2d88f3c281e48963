"""What the jobs of a run do: an entry script. It writes what it has done, and what it was told, into the log
of the run, which no part of JobDistributor knows of: a line of JSON each, appended in one piece."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from typing import Any, Callable

PARAMETERS = json.loads(os.environ["JD_JOB_PARAMETERS"])
JOB, ATTEMPT = int(os.environ["JD_JOB_ID"]), int(os.environ["JD_JOB_ATTEMPT"])
PIECES = 3
TRIES = 20
BYTES = 40000


def note(what: str, **more: object) -> None:
    line = json.dumps(dict(more, what=what, job=JOB, attempt=ATTEMPT, at=time.monotonic()))
    log = os.open(os.environ["FAULTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line.encode() + b"\n")
    os.close(log)


def pause(share: float = 1.0) -> None:
    time.sleep(PARAMETERS["seconds"] * share)


def made_up() -> bytes:
    return ("%d %d %r " % (JOB, ATTEMPT, random.random())).encode() * random.randrange(1, BYTES // 16)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def patiently(call: Callable[[], Any]) -> Any:
    """What `call()` returns, tried again and again without the long pauses that real outages need."""
    from jd.errors import JdError
    os.environ["JD_UPLOAD_MAX_RETRIES"] = "1"
    for _ in range(TRIES):
        try:
            return call()
        except JdError as error:
            print(error)
            time.sleep(0.3)
    return call()


def plain() -> None:
    for number in range(PIECES):
        reports(number)
        pause(1 / PIECES)


def reports(number: int) -> None:
    with open(os.environ["JD_METRICS"], "ab", buffering=0) as file:
        try:
            file.write(b'{"told": %d}\n' % number)
        except OSError as error:
            print(error)  # a full disk
            return
    note("reported", number=number)


def prints() -> None:
    print("epoch 1\nscore=%d" % (JOB * 7))
    note("result", score=JOB * 7)
    pause()


def result() -> None:
    pause()
    with open("result.json", "w") as file:
        json.dump({"score": JOB * 11}, file)
    note("result", score=JOB * 11)


def uploads() -> None:
    from jd import jd_job_dir, jd_upload
    for _ in range(PIECES):
        content = made_up()
        (jd_job_dir() / "piece.bin").write_bytes(content)
        patiently(lambda: jd_upload(jd_job_dir() / "piece.bin"))
        note("stored", kind="upload", sha=digest(content))
        pause(1 / PIECES)


def saves() -> None:
    from jd import jd_get_last_checkpoint, jd_update_checkpoint
    last = patiently(jd_get_last_checkpoint)
    note("loaded", step=0 if last is None else last["step"])
    for step in range(1, PIECES + 1):
        saved = {"step": (0 if last is None else last["step"]) + step, "content": made_up()}
        patiently(lambda: jd_update_checkpoint(saved))
        note("stored", kind="checkpoint", step=saved["step"])
        pause(1 / PIECES)


def directory() -> None:
    state = os.path.join(os.environ["JD_CHECKPOINT_DIR"], "state.bin")
    if os.path.exists(state):
        with open(state, "rb") as file:
            note("restored", sha=digest(file.read()))
    pause(0.5)
    content = made_up()
    with open(state + ".new", "wb") as file:
        file.write(content)
    os.replace(state + ".new", state)
    pause(0.5)
    note("left", kind="directory", sha=digest(content))


def collects() -> None:
    pause()
    os.makedirs("out", exist_ok=True)
    for name in ("one.csv", "two.csv"):
        content = made_up()
        with open(os.path.join("out", name), "wb") as file:
            file.write(content)
        note("left", kind="collect", name=name, sha=digest(content))


def family() -> None:
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    pause()


note("began", pid=os.getpid())
if PARAMETERS["hopeless"]:
    sys.exit(3)
os.chdir(os.environ["JD_WORKER_JOB_DIR"])
{act.__name__: act for act in (plain, prints, result, uploads, saves, directory, collects, family)}[
    PARAMETERS["act"]]()
if PARAMETERS["fails"] >= ATTEMPT:
    note("failed")
    sys.exit(1)
note("ended")
