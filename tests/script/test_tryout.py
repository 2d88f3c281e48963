"""`python train.py` by itself: everything stays on this machine."""

import json
import os
import re
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest

import jd
from jd import protocol
from jd.errors import JdError, LimitError, StorageError, UsageError
from tests.script.stub_server import StubServer
from tests.support import as_user, free_env, public_directory, python


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The jd_data of a try-out in this very process."""
    monkeypatch.setenv("JD_WORKSPACE_PATH", str(tmp_path / "workspace"))
    return tmp_path / "workspace" / "jd_data"


def run(tmp_path: Path, source: str, **environ: Any) -> "subprocess.CompletedProcess[str]":
    script = tmp_path / "train.py"
    script.write_text(source)
    return subprocess.run(python(script), env=free_env(tmp_path, **environ), cwd=str(tmp_path), timeout=60,
                          capture_output=True, text=True)


WHOLE = """
import json, os
from jd import jd_exp_dir, jd_get_last_checkpoint, jd_job_dir, jd_update_checkpoint, jd_upload
job = jd_job_dir()
seen = [jd_get_last_checkpoint()]
saved = [jd_update_checkpoint({"epoch": epoch}) for epoch in range(5)]
seen.append(jd_get_last_checkpoint())
(job / "result.json").write_text('{"accuracy": 0.97}')
sent = [jd_upload(job / "result.json"), jd_upload(str(job / "result.json"))]
(jd_exp_dir() / "dataset.csv").write_text("1,2")
print(json.dumps([str(job), str(jd_exp_dir()), seen, saved, sent]))
"""


@pytest.mark.parametrize("environ", [{}, {"JD_EXP_ID": "digits-tune"},
                                     {"JD_EXP_ID": "digits-tune", "JD_JOB_ID": "7"}])
def test_a_script_by_itself(tmp_path: Path, stub: StubServer, environ: Dict[str, str]) -> None:
    """Whatever else is set, no server hears of it: also with the numbers of a job that is being run."""
    root = tmp_path / "workspace" / "jd_data" / environ.get("JD_EXP_ID", "tryout")
    for number in (1, 2):
        done = run(tmp_path, WHOLE, JD_SERVER=stub.url, JD_API_KEY="jd_" + "k" * 40, JD_SERVER_TOKEN="t" * 20,
                   JD_HUB_URL=stub.url, **environ)
        assert done.returncode == 0, done.stderr
        job, experiment, seen, saved, sent = json.loads(done.stdout)
        place = root / "tryout" / str(number)
        assert Path(job) == place / "job" and Path(experiment) == root
        assert seen == [None, {"epoch": 4}]  # a second run begins anew
        assert [set(answer) for answer in saved + sent] == [{"success", "filename", "version",
                                                             "size_bytes"}] * 7
        assert [answer["version"] for answer in saved] == [0, 1, 2, 3, 4]
        assert all(re.fullmatch(r"checkpoint_v%d_[0-9]+\.pt" % n, saved[n]["filename"]) for n in range(5))
        assert [(a["filename"], a["version"], a["size_bytes"]) for a in sent] == [
            ("result.json", 0, 18), ("result_v1.json", 1, 18)]
        assert sorted(os.listdir(str(place / "uploads"))) == ["result.json", "result_v1.json"]
        assert sorted(os.listdir(str(place / "checkpoints"))) == [a["filename"] for a in saved[-3:]]
        (line,) = done.stderr.splitlines()
        assert line.startswith("jd: try-out") and str(place) in line and "no server is asked" in line
        assert ("JD_JOB_ID=7 is not used" in line) == ("JD_JOB_ID" in environ)
    assert stub.asked == []


def test_a_worker_is_no_tryout(job: Path, stub: StubServer, tmp_path: Path) -> None:
    (job / "f").write_text("x")
    jd.jd_upload(job / "f")
    assert [asked.target for asked in stub.asked] == ["/upload"] and jd.jd_job_dir() == job
    assert os.environ["JD_TRYOUT_DIR"] == ""


def test_who_names_job_and_server_means_it(root: Path, stub: StubServer, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("x")
    jd.jd_upload(tmp_path / "f", job_id=5, server=stub.url)
    jd.jd_update_checkpoint({}, job_id=5, server=stub.url)
    monkeypatch.setenv("JD_SERVER", stub.url)
    jd.jd_upload(tmp_path / "f", job_id=6)
    assert [asked.field("job_id") for asked in stub.asked] == ["5", "5", "6"]
    assert not root.exists() and capsys.readouterr().err == ""


CHILDREN = """
import json, multiprocessing, subprocess, sys
import jd

def child(number):
    jd.jd_update_checkpoint(number)
    jd.jd_upload(__file__)
    return str(jd.jd_job_dir())

if __name__ == "__main__":
    jd.jd_job_dir()
    places = {str(jd.jd_job_dir())}
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            places.update(pool.map(child, range(4)))
    child = [sys.executable, "-c", "import jd; print(jd.jd_job_dir())"]
    places.add(subprocess.check_output(child).decode().strip())
    print(json.dumps(sorted(places)))
"""


def test_processes_of_a_run_share_its_directory(tmp_path: Path) -> None:
    done = run(tmp_path, CHILDREN)
    assert done.returncode == 0, done.stderr
    (place,) = json.loads(done.stdout)
    assert len(done.stderr.splitlines()) == 1  # said once
    assert sorted(os.listdir(str(Path(place).parent / "uploads"))) == sorted(
        ["train.py"] + ["train_v%d.py" % n for n in range(1, 8)])


def test_runs_at_the_same_time_have_directories_of_their_own(tmp_path: Path) -> None:
    source = "import jd; print(jd.jd_job_dir())"
    running = [subprocess.Popen(python("-c", source), env=free_env(tmp_path), stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL) for _ in range(6)]
    places = [process.communicate(timeout=60)[0].decode().strip() for process in running]
    assert len(set(places)) == 6
    assert sorted(Path(place).parent.name for place in places) == ["1", "2", "3", "4", "5", "6"]


def test_threads_get_versions_of_their_own(root: Path, tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("x")
    answers: List[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(jd.jd_upload(tmp_path / "f.txt")))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["version"] for answer in answers) == list(range(8))


def test_a_directory_that_is_named_is_used_again(tmp_path: Path) -> None:
    """Also after the script has gone elsewhere: the name is relative to where it first asked."""
    source = """
import os, jd
print(jd.jd_get_last_checkpoint())
os.chdir("/")
jd.jd_update_checkpoint("state")
print(jd.jd_job_dir())
"""
    for before in ("None", "state"):
        done = run(tmp_path, source, JD_TRYOUT_DIR="mine")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [before, str(tmp_path / "mine" / "job")]
        assert done.stderr == ""


def test_errors_are_those_of_a_job(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="no such file"):
        jd.jd_upload(tmp_path / "missing")
    with pytest.raises(JdError, match="^the checkpoint cannot be pickled"):
        jd.jd_update_checkpoint(threading.Lock())
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", 10)
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(LimitError, match="11 bytes"):
        jd.jd_upload(tmp_path / "big")
    with pytest.raises(LimitError, match="^the checkpoint is larger"):
        jd.jd_update_checkpoint(b"x" * 100)
    assert jd.jd_get_last_checkpoint() is None
    assert not [path for path in root.rglob("*") if path.is_file()]  # no remains


def test_a_place_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JD_WORKSPACE_PATH", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="JD_WORKSPACE_PATH"):
        jd.jd_job_dir()
    assert os.environ["JD_TRYOUT_DIR"] == ""


@pytest.mark.skipif(os.getuid() != 0, reason="needs a file of another user")
def test_the_pickle_of_somebody_else_is_not_loaded(root: Path) -> None:
    jd.jd_update_checkpoint("state")
    (path,) = (jd.jd_job_dir().parent / "checkpoints").iterdir()
    os.chown(str(path), 54321, 54321)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        jd.jd_get_last_checkpoint()


@pytest.mark.parametrize("umask", [0, 0o002])
def test_a_run_is_for_its_user_alone(tmp_path: Path, umask: int) -> None:
    source = ("import os, jd\nos.umask(%d)\njd.jd_update_checkpoint('state')\njd.jd_upload('f.txt')\n"
              "print(jd.jd_job_dir().parent)" % umask)
    (tmp_path / "f.txt").write_text("x")
    for given in ({}, {"JD_TRYOUT_DIR": str(tmp_path / "new" / "mine")}):
        done = run(tmp_path, source, **given)
        place = Path(done.stdout.strip())
        found = [place, *place.rglob("*")]
        assert len(found) == 6, done.stderr
        assert {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found} == {
            (True, 0o700), (False, 0o600)}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("what, mode, reason", [
    ("file", 0o666, "everybody"), ("file", 0o660, "its group"), ("checkpoints", 0o770, "its group"),
    ("run", 0o770, "its group")])
def test_a_checkpoint_that_others_could_have_written_is_not_loaded(what: str, mode: int, reason: str) -> None:
    """Written in fact by another user, for one whose group has both of them."""
    with public_directory(0o1777) as made:
        run_directory = made / "mine"

        def save() -> None:
            os.environ["JD_TRYOUT_DIR"] = str(run_directory)
            jd.jd_update_checkpoint("state")

        def load() -> Any:
            os.environ["JD_TRYOUT_DIR"] = str(run_directory)
            return jd.jd_get_last_checkpoint()

        assert as_user(54330, save, 54777) is None
        (path,) = (run_directory / "checkpoints").iterdir()
        assert as_user(54330, load, 54777) == "state"
        opened = {"file": path, "checkpoints": path.parent, "run": run_directory}[what]
        opened.chmod(mode)
        refused = as_user(54330, load, 54777)
        assert isinstance(refused, StorageError) and reason in str(refused) and str(opened) in str(refused)


def test_an_unusable_experiment_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_EXP_ID", "../up")
    with pytest.raises(UsageError, match="JD_EXP_ID"):
        jd.jd_job_dir()


def test_without_stderr(tmp_path: Path) -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh"]
                          + python("-c", "import jd; print(jd.jd_job_dir())"),
                          env=free_env(tmp_path), stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0 and done.stdout.strip().endswith(b"tryout/1/job")
