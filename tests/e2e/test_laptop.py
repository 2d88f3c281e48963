"""A sweep on a machine where nothing runs yet: it brings its server and its workers, and takes them away."""

import re
import signal
import subprocess
from pathlib import Path
from typing import Dict

import pytest

from tests.e2e.processes import EXPERIMENT, Server
from tests.support import PATIENCE, free_env, left_running, python, wait_until

TRAIN = """
import argparse, json
from jd import jd_job_dir, jd_upload
p = argparse.ArgumentParser(); p.add_argument("--x", type=int)
x = p.parse_args().x
f = jd_job_dir() / "result.json"
f.write_text(json.dumps({"square": x * x}))
jd_upload(f)
"""
GO = "import jd; print(jd.sweep({'x': [1, 3, 2]}, script='train.py', workers=2).wait().best('square')['x'])"

AGAIN = """
import jd
with jd.sweep({"x": [3, 4]}, script="train.py") as sweep:
    print([(row["x"], row["attempt"], row["id"]) for row in sweep.wait().results("square")])
"""


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path, JD_SERVER_WORKSPACE_PATH=tmp_path / "server")


def ran(tmp_path: Path, environ: Dict[str, str], program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(python("-c", program), env=environ, cwd=str(tmp_path), capture_output=True,
                          text=True, timeout=PATIENCE)


def gone(tmp_path: Path) -> bool:
    return not left_running(str(tmp_path))


def test_two_lines_are_a_sweep_and_nothing_is_left(tmp_path: Path, environ: Dict[str, str]) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    first = ran(tmp_path, environ, GO)
    assert (first.returncode, first.stdout) == (0, "3\n"), first.stderr
    assert re.search(r"the server of train has started, dashboard http://127\.0\.0\.1:[0-9]+  "
                     r"PIN in .*/meta/pin", first.stderr)
    wait_until(lambda: gone(tmp_path))
    # Another round with another point: what is done is not done again.
    second = ran(tmp_path, environ, AGAIN)
    assert (second.returncode, second.stdout) == (0, "[(4, 1, 4), (3, 1, 2)]\n"), second.stderr
    wait_until(lambda: gone(tmp_path))


def test_a_script_that_fails_ends_the_waiting_at_once(tmp_path: Path, environ: Dict[str, str]) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('no luck')")
    told = ran(tmp_path, environ, GO)
    assert told.returncode == 1 and "none of the 3 jobs is DONE" in told.stderr
    assert "3 of 3 jobs failed or were cancelled: jd.job(id) and jd.output(id) tell why" in told.stderr
    wait_until(lambda: gone(tmp_path))


def test_what_cannot_start_says_so(tmp_path: Path, environ: Dict[str, str]) -> None:
    told = ran(tmp_path, environ, GO)
    assert told.returncode == 1 and "there is no script %s" % (tmp_path / "train.py") in told.stderr
    (tmp_path / "train.py").write_text("this is no Python")
    told = ran(tmp_path, environ, GO)
    assert told.returncode == 1 and "the workers have ended with exit status 2" in told.stderr
    wait_until(lambda: gone(tmp_path))


def test_ctrl_c_leaves_it_running_and_the_next_run_comes_back(tmp_path: Path,
                                                              environ: Dict[str, str]) -> None:
    (tmp_path / "train.py").write_text(
        "import os, time\nopen('started', 'a').close()\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
        + TRAIN)
    begun = subprocess.Popen(python("-c", GO), env=environ, cwd=str(tmp_path), stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, text=True)
    wait_until((tmp_path / "started").exists)
    begun.send_signal(signal.SIGINT)
    _, errors = begun.communicate(timeout=PATIENCE)
    found = re.search(r"0 of 3 jobs are finished, the sweep goes on; the same program, run again, waits for "
                      r"it and stops all at its end; this stops it now: jd_worker_cli expId=train stop all "
                      r"&& kill [0-9]+\n", errors)
    assert found is not None, errors
    (tmp_path / "go").touch()
    again = ran(tmp_path, environ, GO)
    assert again.stdout == "3\n", again.stderr
    wait_until(lambda: gone(tmp_path))  # as if nothing had happened


def test_a_function_is_mapped_over_a_grid(tmp_path: Path, environ: Dict[str, str]) -> None:
    (tmp_path / "models.py").write_text(
        "def train(lr, layers, name=None):\n"
        "    return {'loss': lr * sum(layers), 'deep': {'n': len(layers)}}\n"
        "def area(side):\n    return side * side\n")
    told = ran(tmp_path, environ, """
import jd, models
with jd.map(models.train, {"lr": [0.5, 2], "layers": [[1, 2]]}, workers=1) as one:
    print(one.session.exp_id, [(row["loss"], row["deep.n"]) for row in one.wait().results("loss")])
with jd.map(models.area, [{"side": 3}]) as two:
    print(two.session.exp_id, two.wait().best("value")["value"])
try:
    jd.map(lambda x: x, {"x": [1]})
except ValueError as error:
    print(error)
""")
    lines = told.stdout.splitlines()
    assert lines[:2] == ["models-train [(6, 2), (1.5, 2)]", "models-area 9"], told.stderr
    assert "is no function of a module that can be imported; put it into a file" in lines[2]
    wait_until(lambda: gone(tmp_path))


def test_a_server_that_runs_is_taken_and_stays(tmp_path: Path, environ: Dict[str, str]) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    with Server(tmp_path) as server:
        told = ran(tmp_path, dict(environ, JD_SERVER=server.url, JD_EXP_ID=EXPERIMENT), """
import jd
for values in ([1, 2], [2, 3]):
    sweep = jd.sweep({"x": values}, script="train.py", workers=1)
    print(sweep.session.exp_id, sweep.ids, sweep.wait().best("square")["x"])
print(len(jd.results()))
""")
        assert told.stdout == "%s [1, 2] 2\n%s [2, 3] 3\n3\n" % (EXPERIMENT, EXPERIMENT), told.stderr
        assert server.counts() == {"DONE": 3}
        server.stop()
    wait_until(lambda: gone(tmp_path))
