"""The four patterns of the library reference, section 8, run by a real worker.

The scripts are the reference's own, unchanged but for the lines where it says "train": those are
given here, as are the modules that it takes for granted (filelock, pandas, a model).
"""

import json
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import pytest

from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import warm_only

PATTERN_1 = '''
import argparse, json
from jd import jd_job_dir

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int)
args = parser.parse_args()

# ... train ...
accuracy = 0.95

job_dir = jd_job_dir()
job_dir.mkdir(parents=True, exist_ok=True)
(job_dir / "result.json").write_text(json.dumps({
    "lr": args.lr, "epochs": args.epochs, "accuracy": accuracy
}))
'''

PATTERN_2 = '''
from jd import jd_job_dir, jd_upload

job_dir = jd_job_dir()
job_dir.mkdir(parents=True, exist_ok=True)

# ... train and save outputs ...
(job_dir / "model.bin").write_bytes(bytes(1000))
(job_dir / "log.txt").write_text("fine")
(job_dir / "sub").mkdir()

# Upload all files in the job directory
for f in job_dir.iterdir():
    if f.is_file():
        jd_upload(f)
'''

PATTERN_3 = '''
from jd import jd_exp_dir
import filelock
import pandas as pd
from stand_ins import download_dataset

dataset_path = jd_exp_dir() / "data.csv"
lock_path    = jd_exp_dir() / "data.csv.lock"

# Thread-safe: only the first worker downloads; others wait and reuse
with filelock.FileLock(str(lock_path)):
    if not dataset_path.exists():
        download_dataset(dataset_path)

df = pd.read_csv(dataset_path)
print("ROWS", df)
'''

PATTERN_4 = '''
import argparse
from stand_ins import model, optimizer, train_one_epoch
from jd import jd_update_checkpoint, jd_get_last_checkpoint

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--lr", type=float)
args = parser.parse_args()

# Resume if a checkpoint exists (returns None on first run)
ckpt        = jd_get_last_checkpoint()
start_epoch = ckpt["epoch"] + 1 if ckpt else 0
if ckpt:
    model.load_state_dict(ckpt["model"])

# Save a checkpoint every 5 epochs
for epoch in range(start_epoch, args.epochs):
    train_one_epoch(model, optimizer)
    if (epoch + 1) % 5 == 0:
        jd_update_checkpoint({"epoch": epoch, "model": model.state_dict()})
'''

STAND_INS = {
    "filelock.py": '''
        import fcntl

        class FileLock:
            def __init__(self, path):
                self.path = path

            def __enter__(self):
                self.file = open(self.path, "w")
                fcntl.flock(self.file, fcntl.LOCK_EX)

            def __exit__(self, *exc):
                self.file.close()
    ''',
    "pandas.py": '''
        def read_csv(path):
            return path.read_text().split()
    ''',
    "stand_ins.py": '''
        import os, sys

        def download_dataset(path):
            print("DOWNLOADED")
            path.write_text("1 2 3")

        class Model:
            weight = 0

            def state_dict(self):
                return {"weight": self.weight}

            def load_state_dict(self, state):
                self.weight = state["weight"]

        model, optimizer = Model(), None

        def train_one_epoch(model, optimizer):
            model.weight += 1
            print("WEIGHT", model.weight)
            if model.weight == 7 and os.environ["JD_JOB_ATTEMPT"] == "1":
                sys.exit("the node died")
    ''',
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The directory of the entry script, with the modules that it imports."""
    directory = tmp_path / "site"
    directory.mkdir()
    for name, source in STAND_INS.items():
        (directory / name).write_text(textwrap.dedent(source))
    return directory


@pytest.fixture(params=["cold", pytest.param("warm", marks=warm_only)])
def warm(request: pytest.FixtureRequest) -> List[str]:
    """The words of a launch whose jobs start from scratch, and of one whose jobs are forked."""
    return ["warm=true", "preload=json,jd.script.upload,jd.script.checkpoint"] * (request.param == "warm")


def sweep(tmp_path: Path, site: Path, source: str, jobs: List[Dict[str, Any]], *words: str,
          flags: Sequence[str] = ()) -> Tuple[List[List[Dict[str, Any]]], List[int], str]:
    """Run a script on jobs until none is left; gives the server's answers and what workers printed."""
    script = site / "train.py"
    script.write_text(source)
    with Server(tmp_path, *flags) as server:
        server.call("/api/jobs/create", {"jobs": jobs})
        with Worker(tmp_path, server.url, script, *words) as worker:
            server.until(DONE=len(jobs))
            worker.popen.terminate()
            output = worker.finish()
        listed = [server.call("/api/jobs/%d/uploads" % job["id"])["uploads"] for job in server.jobs()]
        attempts = [job["attempt"] for job in server.jobs()]
        server.stop()
    assert ("warm=true" in words) == ("is ready after" in output) and "from scratch" not in output
    return listed, attempts, output


def test_pattern_1_result_only(tmp_path: Path, site: Path, warm: List[str]) -> None:
    uploads, _, _ = sweep(tmp_path, site, PATTERN_1, [{"lr": 0.1, "epochs": 5}], *warm)
    assert [upload["filename"] for upload in uploads[0]] == ["result.json"]
    for result in (tmp_path / "workspace" / "jd_data" / EXPERIMENT / "1" / "result.json",
                   tmp_path / "server" / EXPERIMENT / "data" / "1" / "result.json"):
        assert json.loads(result.read_text()) == {"lr": 0.1, "epochs": 5, "accuracy": 0.95}


def test_pattern_2_upload_everything(tmp_path: Path, site: Path, warm: List[str]) -> None:
    uploads, _, _ = sweep(tmp_path, site, PATTERN_2, [{"lr": 0.1}], *warm)
    assert {(u["filename"], u["size_bytes"]) for u in uploads[0]} == {("model.bin", 1000), ("log.txt", 4)}
    assert (tmp_path / "server" / EXPERIMENT / "data" / "1" / "log.txt").read_text() == "fine"


def test_pattern_3_shared_data_is_downloaded_once(tmp_path: Path, site: Path, warm: List[str]) -> None:
    _, _, output = sweep(tmp_path, site, PATTERN_3, [{"x": i} for i in range(4)], "num_workers=2",
                         *warm)
    assert output.count("DOWNLOADED") == 1
    assert output.count("ROWS ['1', '2', '3']") == 4


def test_pattern_4_training_resumes(tmp_path: Path, site: Path, warm: List[str]) -> None:
    _, attempts, output = sweep(tmp_path, site, PATTERN_4, [{"epochs": 10, "lr": 0.1}], *warm,
                                flags=("--aborted-job-reset-timeout", "0"))
    weights = [int(line.rpartition(" ")[2]) for line in output.splitlines() if "WEIGHT" in line
               and "|" in line and "exit" not in line]
    assert attempts == [2]
    assert weights == [1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10]
