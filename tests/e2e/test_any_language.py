"""Scripts that know nothing of jd: flags, variables and files are all they have."""

import io
import os
import signal
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Callable, List

import pytest

from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker, outbox
from tests.support import STOPPED, free_env, python, wait_until

pytestmark = pytest.mark.slow

Write = Callable[..., Path]


@pytest.fixture
def script(tmp_path: Path) -> Write:
    """Write an entry script and return its path."""
    def write(source: str, name: str = "run.sh", mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.write_text(source)
        path.chmod(mode)
        return path
    return write


def history(server: Server, job: int = 0) -> str:
    return "\n".join(entry["reason"] for entry in server.jobs()[job]["message"])


def uploads(server: Server, job: int = 1) -> List[str]:
    return sorted(entry["filename"] for entry in
                  server.call("/api/jobs/%d/uploads" % job)["uploads"])


def test_a_shell_script_gets_flags_and_variables_and_its_files_are_collected(
        tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\n"
                  "cd \"$JD_WORKER_JOB_DIR\"\n"
                  "printf '{\"args\": \"%s\", \"attempt\": %s}' \"$*\" \"$JD_JOB_ATTEMPT\" > result.json\n"
                  "mkdir -p out/deep && echo a > out/deep/a.csv && echo no > notes.txt\n"
                  "ln -s /etc/passwd out/link.csv\n")
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": [{"lr": 0.5, "name": "two words"}]})
        with Worker(tmp_path, server.url, path, "once=true", "collect=*.json,out/**") as worker:
            worker.finish()
        assert server.counts() == {"DONE": 1}
        assert uploads(server) == ["out__deep__a.csv", "result.json"]
        found = server.call("/api/jobs/1/uploads/download?filename=result.json")
        assert found == {"args": "--lr 0.5 --name two words", "attempt": 1}
        assert "collected 2 files" in history(server)
        server.stop()


def test_what_failed_is_collected_too_and_what_the_script_uploaded_is_not_sent_twice(
        tmp_path: Path, script: Write) -> None:
    path = script("import sys\nfrom jd import jd_job_dir, jd_upload\n"
                  "for name in 'same', 'changed', 'new':\n"
                  "    (jd_job_dir() / (name + '.csv')).write_text('1')\n"
                  "jd_upload(jd_job_dir() / 'same.csv'); jd_upload(jd_job_dir() / 'changed.csv')\n"
                  "(jd_job_dir() / 'changed.csv').write_text('22')\n"
                  "sys.exit(3)\n", "train.py")
    with Server(tmp_path, "--max-attempts", 1) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "once=true", JD_COLLECT="*.csv") as worker:
            worker.finish()
        assert server.counts() == {"ABORTED": 1}
        assert uploads(server) == ["changed.csv", "changed_v1.csv", "new.csv", "same.csv"]
        assert "exit status 3\ncollected 2 files" in history(server)
        server.stop()


def test_files_of_another_sweep_in_the_same_directory_are_not_collected(
        tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\n[ -n \"$WRITE\" ] || exit 0\necho 1 > \"$JD_WORKER_JOB_DIR/result.csv\"\n")
    for directory, write, expected in (("one", "yes", ["result.csv"]), ("two", "", [])):
        (tmp_path / directory).mkdir()
        with Server(tmp_path / directory) as server:
            server.create()
            with Worker(tmp_path, server.url, path, "once=true", "collect=*.csv", WRITE=write) as worker:
                worker.finish()
            assert uploads(server) == expected
            server.stop()


RESUMING = """#!/bin/sh
# Counts to three, one attempt each, as long as it is preempted after saving.
state="$JD_CHECKPOINT_DIR/state/count"
count=0
[ -f "$state" ] && count=$(cat "$state")
count=$((count + 1))
save() {
    mkdir -p "$JD_CHECKPOINT_DIR/state"
    echo "$count" > "$state.new" && mv "$state.new" "$state"
    ln -sf state/count "$JD_CHECKPOINT_DIR/latest"
}
if [ "$count" -eq 3 ]; then echo "counted to $count" > "$JD_WORKER_JOB_DIR/result.csv"; exit 0; fi
trap 'save; exit 0' TERM
: > "$MARKS/running-$count"
while :; do sleep 0.05; done
"""


def test_a_preempted_shell_script_continues_where_it_was(tmp_path: Path, script: Write) -> None:
    path = script(RESUMING)
    with Server(tmp_path) as server:
        server.create()
        for count in (1, 2):
            # Another node: nothing is shared but the server.
            node = tmp_path / ("node%d" % count)
            node.mkdir()
            with Worker(node, server.url, path, MARKS=tmp_path) as worker:
                wait_until((tmp_path / ("running-%d" % count)).exists)
                assert worker.stop() in (0, STOPPED)
            assert server.counts() == {"PENDING": 1}
            assert "checkpoint saved" in history(server)
        with Worker(tmp_path, server.url, path, "once=true", "collect=*.csv", MARKS=tmp_path) as worker:
            shown = worker.finish()
        assert "restored the checkpoint directory" in shown
        assert server.counts() == {"DONE": 1}
        assert [job["attempt"] for job in server.jobs()] == [3]
        assert uploads(server) == ["result.csv"]
        server.stop()


def test_what_is_saved_while_it_runs_outlives_the_node(tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\n"
                  "if [ -f \"$JD_CHECKPOINT_DIR/step\" ]; then echo continued >&2; exit 0; fi\n"
                  "echo 7 > \"$JD_CHECKPOINT_DIR/step\"\nexec sleep 600\n")
    with Server(tmp_path, "--idle-timeout", 6) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "checkpoint_interval=1") as worker:
            wait_until(lambda: list((tmp_path / "server").rglob("checkpoint_v0_*.pt")))
            worker.popen.kill()
        server.until(PENDING=1)
        (tmp_path / "other").mkdir()
        with Worker(tmp_path / "other", server.url, path, "once=true") as worker:
            assert "continued" in worker.finish()
        assert server.counts() == {"DONE": 1}
        server.stop()


def test_files_wait_with_the_result_while_the_server_is_away(tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\ncd \"$JD_WORKER_JOB_DIR\"\n: > \"$MARKS/started\"\n"
                  "while [ ! -f \"$MARKS/go\" ]; do sleep 0.05; done\n"
                  "echo 1 > result.csv; echo 2 > \"$JD_CHECKPOINT_DIR/last\"\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "collect=*.csv", MARKS=tmp_path) as worker:
            wait_until((tmp_path / "started").exists)
            port = server.port
            server.stop(signal.SIGKILL)
            (tmp_path / "go").touch()
            wait_until(lambda: list(outbox(tmp_path).glob("*.json")), 60)
            assert len(list(outbox(tmp_path).glob("*.files/*.bin"))) == 2
            worker.stop(signal.SIGKILL)
        with Server(tmp_path, port=port) as again:
            assert again.counts() == {"SERVED": 1}
            with Worker(tmp_path, again.url, path, "once=true", name="next", MARKS=tmp_path) as other:
                other.finish()
            assert again.counts() == {"DONE": 1}
            assert uploads(again) == ["result.csv"]
            assert list((tmp_path / "server").rglob("checkpoint_v0_*.pt"))
            assert "1 file waited for the server" in history(again)
            assert os.listdir(str(outbox(tmp_path))) == []
            again.stop()


def test_files_that_waited_for_an_attempt_that_was_ended_meanwhile_are_dropped_with_its_result(
        tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\ncd \"$JD_WORKER_JOB_DIR\"\n: > \"$MARKS/started\"\n"
                  "while [ ! -f \"$MARKS/go\" ]; do sleep 0.05; done\necho 1 > result.csv\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "collect=*.csv", MARKS=tmp_path) as worker:
            wait_until((tmp_path / "started").exists)
            port, worker_id = server.port, server.jobs()[0]["worker_id"]
            server.stop(signal.SIGKILL)
            (tmp_path / "go").touch()
            wait_until(lambda: list(outbox(tmp_path).glob("*.json")), 60)
            worker.stop(signal.SIGKILL)
        with Server(tmp_path, port=port) as again:
            again.call("/workers/cli/stop", {"worker_id": worker_id, "source": "here", "action": "stop"})
            again.create()
            with Worker(tmp_path, again.url, path, "once=true", name="next", MARKS=tmp_path) as other:
                said = other.finish()
            assert "will not take the result of job 1" in said and "dropped" in said
            assert again.counts() == {"ABORTED": 1, "DONE": 1}
            assert uploads(again) == [] and os.listdir(str(outbox(tmp_path))) == []
            again.stop()


def test_a_checkpoint_that_a_silent_server_did_not_take_is_not_lost(tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\n"
                  "[ -f \"$JD_CHECKPOINT_DIR/state\" ] && { echo continued; exit 0; }\n"
                  "trap 'echo 1 > \"$JD_CHECKPOINT_DIR/state\"; exit 0' TERM\n"
                  ": > \"$MARKS/started\"\nwhile :; do sleep 0.05; done\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "grace=1", MARKS=tmp_path) as worker:
            wait_until((tmp_path / "started").exists)
            os.kill(server.popen.pid, signal.SIGSTOP)
            try:
                # The grace period, what its files get, and the last words.
                assert worker.stop(timeout=60) == STOPPED
            finally:
                os.kill(server.popen.pid, signal.SIGCONT)
        assert len(list(outbox(tmp_path).glob("*.files/*.bin"))) == 1
        # The next worker delivers what waits, and has the job then.
        with Worker(tmp_path, server.url, path, "once=true", name="successor", MARKS=tmp_path) as worker:
            assert "continued" in worker.finish()
        assert server.counts() == {"DONE": 1}
        server.stop()


def test_own_checkpoints_of_a_script_and_its_directory_do_not_mix(tmp_path: Path, script: Write) -> None:
    path = script("import os, sys\nfrom pathlib import Path\n"
                  "from jd import jd_get_last_checkpoint, jd_update_checkpoint\n"
                  "file = Path(os.environ['JD_CHECKPOINT_DIR']) / 'file'\n"
                  "last = jd_get_last_checkpoint()\n"
                  "print('got', last, file.read_text() if file.exists() else None)\n"
                  "if last is None:\n"
                  "    jd_update_checkpoint('object'); file.write_text('directory'); sys.exit(1)\n"
                  "if last == 'object':\n"
                  "    jd_update_checkpoint('newer'); sys.exit(1)\n", "train.py")
    with Server(tmp_path, "--aborted-job-reset-timeout", 0) as server:
        server.create()
        shown = []
        for _ in range(3):
            server.until(PENDING=1)
            with Worker(tmp_path, server.url, path, "once=true") as worker:
                shown.append([line.partition("got ")[2] for line in worker.finish().splitlines()
                              if "got " in line])
        assert shown == [["None None"], ["object directory"], ["newer directory"]]
        server.stop()


def test_a_checkpoint_that_is_not_safe_to_unpack_is_refused(tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\nexit 1\n")
    with Server(tmp_path, "--aborted-job-reset-timeout", 0) as server:
        server.create()
        assert server.call("/worker/heartbeat", {"worker_id": "evil"})["job"]["job_id"] == 1
        evil = _archive("../../evil")
        (tmp_path / "evil.tar").write_bytes(evil)
        subprocess.run(python("-c", "from jd.script.context import JobContext\n"
                              "from jd.script.upload import Patience, send\n"
                              "import os, sys\nfile = open(sys.argv[1], 'rb')\n"
                              "send(JobContext('exp', 1, sys.argv[2], lambda: None), Patience(1),"
                              " '/checkpoint', 'checkpoint', file, 'x', os.path.getsize(sys.argv[1]),"
                              " '', '')",
                              tmp_path / "evil.tar", server.url), env=free_env(tmp_path), check=True)
        server.call("/update_job_status", {"job_id": 1, "status": "ABORTED"})
        server.until(PENDING=1)
        with Worker(tmp_path, server.url, path, "once=true") as worker:
            shown = worker.finish()
        assert "did not start" in shown and "a checkpoint is a program, and it is not signed" in shown
        assert "it is not signed" in history(server) and "JD_CHECKPOINTS=unsigned" in history(server)
        server.until(PENDING=1)
        with Worker(tmp_path, server.url, path, "once=true", JD_CHECKPOINTS="unsigned") as worker:
            shown = worker.finish()
        assert "did not start" in shown and "leads out of the directory" in shown
        assert not list(tmp_path.rglob("evil"))
        server.stop()


def _archive(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("jd-checkpoint-dir-v1"))
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return out.getvalue()


@pytest.mark.parametrize("name, source, mode, said", [
    ("train", "print(1)\n", 0o644, "does not begin with #!"),
    ("train", "print(1)\n", 0o755, "neither a program nor a script"),
    ("run.sh", "#!/no/such/shell\n", 0o755, "/no/such/shell"),
    ("run.sh", "#!/bin/sh\r\n", 0o755, "Windows"),
])
def test_what_cannot_be_run_is_refused_at_launch(tmp_path: Path, script: Write, name: str, source: str,
                                                 mode: int, said: str) -> None:
    with Worker(tmp_path, "127.0.0.1:9", script(source, name, mode)) as worker:
        worker.finish()
        assert worker.popen.returncode == 2
        assert said in worker.errors and worker.errors.count("\n") == 1


SMI = """#!/bin/sh
case "$1" in
-L) echo "GPU 0: NVIDIA A100 (UUID: GPU-aaaa-1)"; echo "GPU 1: NVIDIA A100 (UUID: GPU-bbbb-2)" ;;
*) echo "0, GPU-aaaa-1, 40, 1024, 40960"; echo "1, GPU-bbbb-2, 80, 2048, 40960" ;;
esac
"""


def test_each_worker_has_a_gpu_of_its_own(tmp_path: Path, script: Write) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    smi = programs / "nvidia-smi"
    smi.write_text(SMI)
    smi.chmod(smi.stat().st_mode | stat.S_IXUSR)
    environ = {"PATH": "%s:%s" % (programs, free_env(tmp_path)["PATH"])}
    path = script("#!/bin/sh\necho \"$CUDA_VISIBLE_DEVICES\" > \"$JD_WORKER_JOB_DIR/gpu.csv\"\n"
                  ": > \"$MARKS/started-$JD_JOB_ID\"\n"
                  "while [ ! -f \"$MARKS/go\" ]; do sleep 0.05; done\n")
    with Server(tmp_path) as server:
        server.create(2)
        with Worker(tmp_path, server.url, path, "num_workers=2", "gpus=auto", MARKS=tmp_path,
                    **environ) as worker:
            wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2)
            (tmp_path / "go").touch()
            server.until(DONE=2)
            assert worker.stop() in (0, STOPPED)
        given = {path.read_text().strip() for path in tmp_path.rglob("gpu.csv")}
        assert given == {"GPU-aaaa-1", "GPU-bbbb-2"}
        with Worker(tmp_path, server.url, path, "num_workers=3", "gpus=auto", **environ) as worker:
            worker.finish()
            assert worker.popen.returncode == 2
        assert "need 3 devices, and there are 2" in worker.errors
        server.stop()


def test_a_restart_that_lacks_gpus_stops_nothing(tmp_path: Path, script: Write) -> None:
    path = script("#!/bin/sh\n")
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        before = node.start(path, "gpus=2", CUDA_VISIBLE_DEVICES="GPU-x,GPU-y")
        refused = node.exp("restart", "all", status=1, CUDA_VISIBLE_DEVICES="GPU-x")
        assert "a worker needs 2 devices" in refused.stderr and "was not restarted" in refused.stderr
        assert [row.pid for row in node.rows()] == [row.pid for row in before]
        assert "GPUs: GPU-x,GPU-y" in node.log(before[0].worker_id)
        node.exp("stop", "all")
