"""The templates as shell scripts, without Slurm: what they refuse, where they put things, what they start."""

import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import pytest

from tests.support import MALLORY, ROOT, free_env, needs_root

TEMPLATES = sorted((ROOT / "slurm").glob("*.sbatch"))
WORKERS = ["jd_array.sbatch", "jd_gpu.sbatch", "jd_apptainer.sbatch", "jd_multinode.sbatch"]

_STUB = """\
#!/bin/bash
# Stands for what a template starts: says its process id, its arguments and some variables.
echo "pid $$" >"$SEEN"
printf 'argument %s\\n' "$@" >>"$SEEN"
env | grep -E '^(JD_|TMPDIR=|VIRTUAL_ENV=|APPTAINERENV_)' >>"$SEEN"
"""


class Ran(NamedTuple):
    """How a template ended, and what it started."""

    status: int
    pid: int
    errors: List[str]
    started: bool
    its_pid: int
    arguments: List[str]
    variables: Dict[str, str]


class Login:
    """A directory with stubs of all programs, in which templates are run by bash instead of sbatch."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("jd_worker_cli", "jd_server", "apptainer"):
            (self.programs / name).write_text(_STUB)
            (self.programs / name).chmod(0o755)
        # Like srun: the words that begin with -- are its own.
        (self.programs / "srun").write_text(
            '#!/bin/bash\nwhile [ "${1#--}" != "$1" ]; do shift; done\n"$@"\n')
        (self.programs / "srun").chmod(0o755)
        (directory / "train.py").write_text("")
        (directory / "jd-worker.sif").write_text("")
        self.variables: Dict[str, Any] = {
            "SLURM_JOB_ID": 7, "SLURM_JOB_END_TIME": 1, "USER": "ann", "JD_EXP_ID": "exp",
            "JD_ENTRY_SCRIPT": directory / "train.py", "JD_SERVER": "http://127.0.0.1:9",
            "JD_SCRATCH": directory / "scratch", "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b",
            "JD_WORKSPACE_PATH": None, "JD_CACHE_PATH": None, "SEEN": directory / "seen",
            "PATH": "%s:/usr/bin:/bin" % self.programs}

    def run(self, template: str, *words: str, **extra: Any) -> Ran:
        """bash template words."""
        seen = self.directory / "seen"
        if seen.exists():
            seen.unlink()
        process = subprocess.Popen(
            ["bash", str(ROOT / "slurm" / template)] + list(words), cwd=str(self.directory),
            env=free_env(self.directory, **dict(self.variables, **extra)), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        _, errors = process.communicate(timeout=60)
        lines = seen.read_text().splitlines() if seen.exists() else ["pid 0"]
        return Ran(process.returncode, process.pid, errors.splitlines(), seen.exists(),
                   int(lines[0].split()[1]),
                   [line.partition(" ")[2] for line in lines if line.startswith("argument ")],
                   dict(line.split("=", 1) for line in lines[1:] if not line.startswith("argument ")))


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_template_is_proper_shell(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "set -eu\n" in path.read_text()


def test_functions_are_the_same_in_every_template() -> None:
    texts: Dict[str, str] = {}
    for path in TEMPLATES:
        paragraphs = path.read_text().split("\n\n")
        for name, text in [(found.group(1), paragraph) for paragraph in paragraphs
                           for found in [re.search(r"^(\w+)\(\) \{", paragraph, re.M)] if found]:
            assert texts.setdefault(name, text) == text, "%s in %s" % (name, path.name)
    assert {"refuse", "check_request", "set_up", "find_jd", "own_scratch", "use_scratch"} <= set(texts)


# ---- refusals

_MISSING = [
    ({"SLURM_JOB_ID": None}, "run it with sbatch"),
    ({"JD_EXP_ID": None}, "JD_EXP_ID is not set"),
    ({"JD_ENTRY_SCRIPT": None}, "JD_ENTRY_SCRIPT is not set"),
    ({"JD_ENTRY_SCRIPT": "/nowhere/train.py"}, "JD_ENTRY_SCRIPT=/nowhere/train.py cannot be read"),
    ({"JD_SETUP": "/nowhere/setup"}, "JD_SETUP=/nowhere/setup cannot be read"),
    ({"JD_SCRATCH": "/proc/self"}, "JD_SCRATCH=/proc/self cannot be used"),
]


@pytest.mark.parametrize("template", WORKERS)
@pytest.mark.parametrize("variables, said", _MISSING, ids=lambda value: str(value)[:30])
def test_what_is_missing_is_one_clear_line(login: Login, template: str, variables: Dict[str, Any],
                                           said: str) -> None:
    ran = login.run(template, **variables)
    assert (ran.status, ran.started, len(ran.errors)) == (2, False, 1), ran
    assert ran.errors[0].startswith("jd: ") and said in ran.errors[0]


@pytest.mark.parametrize("template, variables, said", [
    ("jd_array.sbatch", {"JD_VENV": "/nowhere"}, "JD_VENV=/nowhere is no virtual environment"),
    ("jd_array.sbatch", {"JD_PYZ": "/nowhere/jd.pyz"}, "JD_PYZ=/nowhere/jd.pyz cannot be read"),
    ("jd_array.sbatch", {"PATH": "/usr/bin:/bin"}, "there is no jd_worker_cli on PATH"),
    ("jd_server.sbatch", {"PATH": "/usr/bin:/bin"}, "there is no jd_server on PATH"),
    ("jd_server.sbatch", {"JD_EXP_ID": None}, "JD_EXP_ID is not set"),
    ("jd_server.sbatch", {"JD_SERVER_WORKSPACE_PATH": "/proc/self/x"}, "/proc/self/x cannot be made"),
    ("jd_gpu.sbatch", {"CUDA_VISIBLE_DEVICES": None}, "no GPU was given to this job"),
    ("jd_apptainer.sbatch", {"JD_IMAGE": "/nowhere.sif"}, "the image /nowhere.sif cannot be read"),
    ("jd_apptainer.sbatch", {"PATH": "/usr/bin:/bin"}, "neither apptainer nor singularity"),
])
def test_what_one_template_needs(login: Login, template: str, variables: Dict[str, Any], said: str) -> None:
    ran = login.run(template, **variables)
    assert (ran.status, ran.started) == (2, False), ran
    assert ran.errors[-1].startswith("jd: ") and said in ran.errors[-1]


# ---- scratch

def test_scratch_is_the_jobs_own_and_private(login: Login) -> None:
    variables = login.run("jd_array.sbatch").variables
    own = login.directory / "scratch" / "ann" / "7"
    assert variables["JD_WORKSPACE_PATH"] == str(own)
    assert variables["JD_CACHE_PATH"] == str(own / "cache")
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert list(own.iterdir()) == []


def test_scratch_is_the_first_place_that_can_be_written(login: Login) -> None:
    good, later = login.directory / "a b", login.directory / "later"
    ran = login.run("jd_array.sbatch", JD_SCRATCH=None, SLURM_TMPDIR="/proc/self", L_SCRATCH="relative",
                    PBS_JOBFS=good, TMPDIR=later)
    assert ran.variables["JD_WORKSPACE_PATH"] == str(good / "ann" / "7"), ran
    assert not later.exists()


@needs_root
def test_scratch_that_somebody_else_has_planted_is_passed_over(login: Login) -> None:
    planted, good = login.directory / "planted", login.directory / "good"
    (planted / "ann").mkdir(parents=True)
    (planted / "ann").chmod(0o777)
    os.chown(str(planted / "ann"), MALLORY, MALLORY)
    ran = login.run("jd_array.sbatch", JD_SCRATCH=None, PBS_JOBFS=planted, TMPDIR=good)
    assert ran.variables["JD_WORKSPACE_PATH"] == str(good / "ann" / "7"), ran
    ran = login.run("jd_array.sbatch", JD_SCRATCH=planted)
    assert ran.status == 2 and "is not ann's" in ran.errors[-1] and not ran.started
    assert list((planted / "ann").iterdir()) == []


@needs_root
def test_a_cache_that_somebody_else_has_planted_is_not_mounted(login: Login) -> None:
    planted = login.directory / "planted"
    planted.mkdir()
    os.chown(str(planted), MALLORY, MALLORY)
    ran = login.run("jd_apptainer.sbatch", JD_CACHE_PATH=planted)
    assert ran.status == 2 and "somebody else's" in ran.errors[-1] and not ran.started


def test_a_temporary_directory_of_another_machine_is_replaced(login: Login) -> None:
    ran = login.run("jd_array.sbatch", TMPDIR="/proc/self/login-node")
    assert ran.variables["TMPDIR"] == ran.variables["JD_WORKSPACE_PATH"]


def test_what_the_submitter_has_set_wins(login: Login) -> None:
    given = {"JD_WORKSPACE_PATH": "/w", "JD_CACHE_PATH": "/c", "JD_COLLECT": "", "JD_IDLE_TIMEOUT": "5",
             "JD_EXIT_WHEN_EMPTY": "false"}
    ran = login.run("jd_array.sbatch", **given)
    assert {name: ran.variables[name] for name in given} == given


def test_what_is_set_otherwise(login: Login) -> None:
    variables = login.run("jd_array.sbatch").variables
    assert variables["JD_COLLECT"] == "*.json,*.csv,ckpt/**"
    assert variables["JD_EXIT_WHEN_EMPTY"] == "true"


# ---- what is started

@pytest.mark.parametrize("template", ["jd_array.sbatch", "jd_gpu.sbatch", "jd_apptainer.sbatch",
                                      "jd_server.sbatch"])
def test_the_script_becomes_what_it_starts(login: Login, template: str) -> None:
    ran = login.run(template, "one=a b", JD_API_KEY="jd_secret")
    assert ran.status == 0 and ran.its_pid == ran.pid, ran
    assert ran.arguments[-1] == "one=a b"
    assert not any("secret" in word for word in ran.arguments)


def test_every_node_of_several_gets_the_words(login: Login) -> None:
    ran = login.run("jd_multinode.sbatch", "one=a b", "$(exit 3)")
    assert ran.arguments == ["foreground=true", "one=a b", "$(exit 3)"], ran
    assert ran.status == 0


def test_a_worker_for_each_gpu(login: Login) -> None:
    variables = login.run("jd_gpu.sbatch").variables
    assert (variables["JD_NUM_WORKERS"], variables["JD_GPUS"]) == ("2", "auto")


def test_variables_reach_the_container(login: Login) -> None:
    variables = login.run("jd_apptainer.sbatch", JD_API_KEY="jd_secret").variables
    ours = {name: value for name, value in variables.items() if name.startswith("JD_")}
    assert ours["JD_API_KEY"] == "jd_secret"
    assert {"APPTAINERENV_" + name: value for name, value in ours.items()}.items() <= variables.items()


def test_a_server_makes_its_own_token(login: Login) -> None:
    ran = login.run("jd_server.sbatch", "--jobs", "sweep.json")
    assert ran.arguments == ["--expId", "exp", "--jobs", "sweep.json"]
    assert "JD_SERVER_TOKEN_FILE" not in ran.variables and ran.variables["JD_SERVER_HOST"] == "0.0.0.0"
    assert ran.variables["JD_SERVER_PUBLISH_URL"].endswith("/jd_server/exp.url")


@pytest.mark.parametrize("template", WORKERS)
def test_the_server_is_that_of_the_access_file(login: Login, template: str) -> None:
    home = login.directory / "home"
    assert login.run(template, JD_SERVER=None).variables["JD_SERVER"] == "@%s/.jd/servers/exp.json" % home
    assert login.run(template, JD_SERVER=None, JD_ACCESS_DIR="/shared", JD_EXP_ID="Exp").variables[
        "JD_SERVER"] == "@/shared/exp.json"  # names are lower case
    for named in ({"JD_API_KEY": "jd_key"}, {"JD_PORT": "5001"}):
        assert "JD_SERVER" not in login.run(template, JD_SERVER=None, **named).variables


# ---- other schedulers: the scripts of docs/other-schedulers.md

OTHERS = {
    "PBS": {"PBS_JOBID": "7[3].head", "PBS_ARRAY_INDEX": "3", "PBS_O_WORKDIR": "."},
    "LSF": {"LSB_JOBID": "7", "LSB_JOBINDEX": "3"},
    "SGE": {"JOB_ID": "7", "SGE_TASK_ID": "3"},
}


@pytest.fixture(params=sorted(OTHERS))
def other(request: pytest.FixtureRequest, login: Login) -> Path:
    """One of the scripts in a file, with the variables of its scheduler set."""
    page = (ROOT / "docs" / "other-schedulers.md").read_text(encoding="utf-8")
    section = page.partition("## %s\n" % request.param)[2]
    script = login.directory / "script"
    script.write_text(section.partition("```bash\n")[2].partition("```")[0])
    login.variables.update(OTHERS[request.param], SLURM_JOB_ID=None)
    return script


def test_other_schedulers_start_a_worker(login: Login, other: Path) -> None:
    subprocess.run(["bash", "-n", str(other)], check=True)
    before = time.time()
    ran = login.run(str(other), JD_API_KEY="jd_secret")
    assert ran.status == 0 and ran.arguments[0] == "foreground=true", ran
    assert ran.variables["JD_WORKSPACE_PATH"].startswith(str(login.directory / "scratch" / "ann" / "7"))
    assert ran.variables["JD_CACHE_PATH"] == ran.variables["JD_WORKSPACE_PATH"] + "/cache"
    assert before + 3599 <= int(ran.variables["JD_END_TIME"]) <= time.time() + 3600
    assert stat.S_IMODE(Path(ran.variables["JD_WORKSPACE_PATH"]).stat().st_mode) == 0o700
    assert not any("secret" in word for word in ran.arguments)


@needs_root
def test_other_schedulers_take_no_scratch_of_somebody_elses(login: Login, other: Path) -> None:
    planted = login.run(str(other)).variables["JD_WORKSPACE_PATH"]
    os.chown(planted, MALLORY, MALLORY)
    (login.directory / "seen").unlink()
    ran = login.run(str(other))
    assert ran.status == 2 and "set JD_SCRATCH" in ran.errors[-1] and not ran.started


def test_other_schedulers_take_the_server_of_the_access_file(login: Login, other: Path) -> None:
    path = login.directory / "home" / ".jd" / "servers" / "exp.json"
    for name in ("exp", "Exp"):
        assert login.run(str(other), JD_SERVER=None, JD_EXP_ID=name).variables["JD_SERVER"] == "@%s" % path
    assert "JD_SERVER" not in login.run(str(other), JD_SERVER=None, JD_API_KEY="jd_secret").variables


@pytest.mark.parametrize("missing", ["JD_EXP_ID", "JD_ENTRY_SCRIPT"])
def test_other_schedulers_refuse_in_one_line(login: Login, other: Path, missing: str) -> None:
    ran = login.run(str(other), **{missing: None})
    assert (ran.status, ran.started, len(ran.errors)) == (2, False, 1), ran
    assert missing in ran.errors[0]


def test_the_worker_gets_the_signals_of_other_schedulers(login: Login, other: Path) -> None:
    # What SGE sends is USR2 alone; the others send TERM.
    number = signal.SIGUSR2 if "-notify" in other.read_text() else signal.SIGTERM
    (login.programs / "jd_worker_cli").write_text(
        "#!/bin/bash\ntrap 'echo stopped; exit 0' TERM\necho ready\nwhile :; do sleep 0.1; done\n")
    process = subprocess.Popen(["bash", str(other)], env=free_env(login.directory, **login.variables),
                               cwd=str(login.directory), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, universal_newlines=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
