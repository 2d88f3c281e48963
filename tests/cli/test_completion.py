"""What the shells offer: the words themselves, and the scripts in real shells."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Dict, List

import pytest

from jd.cli import main
from jd.cli.catalog import COMMANDS
from jd.cli.commands.completion import SCRIPTS, script
from jd.cli.completing import candidates
from jd.errors import UsageError
from jd.node.identity import Here
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY
from tests.support import ROOT, free_env


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path)


@pytest.fixture
def workers(environ: Dict[str, str]) -> List[str]:
    """Two workers of digits-tune, the second busy with job 42, and one of other."""
    registry, here = Registry("digits-tune", environ), Here("gpunode")
    names = registry.reserve([0, 1], {}, here, 0.0)
    registry.update(names[1], BUSY, 42, None)
    Registry("other", environ).reserve([7], {}, here, 0.0)
    return names


# ---- words

def test_at_first_every_command_and_every_key_of_a_launch(environ: Dict[str, str]) -> None:
    offered = candidates([""], environ)
    assert set(COMMANDS) <= set(offered)
    assert {"expId=", "entry_script=", "num_workers=", "api_key="} <= set(offered)
    assert "lines=" not in offered and "use" not in offered


@pytest.mark.parametrize("words, expected", [
    (["worker-l"], ["worker-list", "worker-logs"]),
    (["num"], ["num_workers="]),
    (["entry_script=a.py", "ru"], ["run"]),
    (["expId=a", "exp"], ["exp-status"]),  # exp-list does not take what is there already
    (["worker-logs", ""], ["expId=", "follow=", "lines="]),
    (["worker-logs", "lines=3", "f"], ["follow="]),
    (["worker-logs", "follow="], ["follow=false", "follow=true"]),
    (["follow="], ["follow=false", "follow=true"]),
    (["base_path=a"], ["base_path=always", "base_path=auto"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["completion", "bash", ""], []),
    (["help", "st"], ["stop"]),
    (["stop", "a"], ["all", "all-experiments"]),
    (["worker-list", "lines="], []),
    (["nokey="], []), (["machine_type="], []), (["api_key="], []),
    ([], []),
])
def test_what_may_come_next(words: List[str], expected: List[str],
                            environ: Dict[str, str]) -> None:
    assert candidates(words, environ) == expected


def test_what_is_on_this_machine(environ: Dict[str, str], workers: List[str]) -> None:
    assert candidates(["expId="], environ) == ["expId=digits-tune", "expId=other"]
    assert candidates(["expId=digits-tune", "worker-status", "gpu"], environ) == sorted(workers)
    assert candidates(["expId=digits-tune", "stop", "job="], environ) == ["job=42"]
    assert candidates(["worker-status", "gpu"], environ) == []
    assert candidates(["worker-status", "gpu"], dict(environ, JD_EXP_ID="digits-tune")) == (
        sorted(workers))


def test_interactive_mode_has_words_of_its_own(environ: Dict[str, str],
                                               workers: List[str]) -> None:
    assert candidates(["us"], environ, inside=True) == ["use"]
    assert candidates(["use", "d"], environ, inside=True) == ["digits-tune"]
    assert candidates(["ex"], environ, inside=True) == ["exit", "exit_when_empty=", "exp-list", "exp-status",
                                                        "expId="]


def test_files(environ: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train.py", "notes.txt", ".hidden.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "more.py").write_text("")
    (tmp_path / "home" / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert candidates(["entry_script="], environ) == [
        "entry_script=home/", "entry_script=src/", "entry_script=train.py"]
    assert candidates(["entry_script=src/m"], environ) == ["entry_script=src/more.py"]
    assert candidates(["entry_script=~/"], environ) == ["entry_script=~/mine.py"]
    assert candidates(["entry_script=."], environ) == ["entry_script=.hidden.py"]
    assert candidates(["log_dir=s"], environ) == ["log_dir=src/"]
    assert candidates(["python=s"], environ) == ["python=src/"]
    assert candidates(["python=n"], environ) == ["python=notes.txt"]
    assert candidates(["entry_script=gone/"], environ) == []


def test_a_broken_registry_offers_nothing(environ: Dict[str, str], workers: List[str]) -> None:
    Registry("digits-tune", environ).path.write_bytes(b"no database " * 100)
    assert candidates(["expId=digits-tune", "worker-status", ""], environ) == []


def test_the_hidden_command_cleans_up_nothing(environ: Dict[str, str], capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "sweep_once", lambda environ: pytest.fail("it cleaned up"))
    assert main.main(["completion", "words", "worker-l"], environ) == 0
    assert capsys.readouterr().out == "worker-list\nworker-logs\n"
    assert main.main(["completion", "words", "expId=x", "lines=", "nonsense=1", ""], environ) == 0
    assert main.main(["completion", "words"], environ) == 0


def test_it_costs_little(environ: Dict[str, str], workers: List[str]) -> None:
    best = 9.0
    for _ in range(5):
        started = time.process_time()  # whatever else the machine does
        candidates(["expId=digits-tune", "worker-status", ""], environ)
        best = min(best, time.process_time() - started)
    assert best < 0.02


# ---- scripts

@pytest.fixture
def program(environ: Dict[str, str], tmp_path: Path) -> Path:
    """`jd_worker_cli` as shells find it."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    path = bin_dir / "jd_worker_cli"
    path.write_text("#!/bin/sh\nexec python -m jd.cli \"$@\"\n")
    path.chmod(0o755)
    environ["PATH"] = "%s:%s" % (bin_dir, environ["PATH"])
    return path


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip("%s is not installed" % name)
    return found


def ask(command: List[str], environ: Dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, env=environ, cwd=str(cwd), timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout.decode()


def bash(line: str, words: List[str], environ: Dict[str, str], cwd: Path,
         before: str = "") -> List[str]:
    """What bash would insert for `line`, which it has split into `words`."""
    script = before + (
        "source <(jd_worker_cli completion bash) || exit\n"
        "complete -p jd_worker_cli >/dev/null || exit\n"
        "COMP_LINE=$1; COMP_POINT=${#1}; shift\n"
        "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))\n"
        "_jd_worker_cli\n"
        "((${#COMPREPLY[@]})) && printf '%s|\\n' \"${COMPREPLY[@]}\"\n"
        "true\n")
    return ask([shell("bash"), "--norc", "-c", script, "bash", line] + words, environ, cwd).splitlines()


@pytest.mark.parametrize("line, words, expected", [
    ("jd_worker_cli worker-l", ["jd_worker_cli", "worker-l"], ["worker-list |", "worker-logs |"]),
    ("jd_worker_cli num", ["jd_worker_cli", "num"], ["num_workers=|"]),
    ("jd_worker_cli expId=", ["jd_worker_cli", "expId", "="], ["digits-tune |", "other |"]),
    ("jd_worker_cli expId=d", ["jd_worker_cli", "expId", "=", "d"], ["digits-tune |"]),
    ("jd_worker_cli  stop   expId=digits-tune job=",
     ["jd_worker_cli", "stop", "expId", "=", "digits-tune", "job", "="], ["42 |"]),
    ("jd_worker_cli completion ", ["jd_worker_cli", "completion", ""], ["bash |", "fish |", "zsh |"]),
    ("jd_worker_cli server=http://h:5000 base_path=al",
     ["jd_worker_cli", "server", "=", "http", ":", "//h", ":", "5000", "base_path", "=", "al"],
     ["always |"]),
    ("jd_worker_cli entry_script=my", ["jd_worker_cli", "entry_script", "=", "my"],
     ["my\\ train.py |"]),
    ("jd_worker_cli xyzzy", ["jd_worker_cli", "xyzzy"], []),
])
def test_bash(line: str, words: List[str], expected: List[str], environ: Dict[str, str],
              workers: List[str], program: Path, tmp_path: Path) -> None:
    (tmp_path / "my train.py").write_text("")
    assert bash(line, words, environ, tmp_path) == expected


def test_bash_where_an_equals_sign_is_part_of_a_word(environ: Dict[str, str], workers: List[str],
                                                     program: Path, tmp_path: Path) -> None:
    before = "COMP_WORDBREAKS=${COMP_WORDBREAKS//=}\n"
    assert bash("jd_worker_cli expId=d", ["jd_worker_cli", "expId=d"], environ, tmp_path,
                before) == ["expId=digits-tune |"]


def test_zsh(environ: Dict[str, str], workers: List[str], program: Path, tmp_path: Path) -> None:
    script = (
        "compdef() { registered=$2 }\n"
        "compadd() { [[ $1 == -S ]] && shift 2; shift; print -rl -- \"$@\" }\n"
        "source <(jd_worker_cli completion zsh) || exit\n"
        "[[ $registered == jd_worker_cli ]] || exit 3\n"
        "words=(\"$@\"); CURRENT=$#; PREFIX=$words[-1]\n"
        "_jd_worker_cli\ntrue\n")
    zsh = [shell("zsh"), "-f", "-c", script, "zsh", "jd_worker_cli"]
    assert ask(zsh + ["expId=d"], environ, tmp_path) == "expId=digits-tune\n"
    assert ask(zsh + ["completion", ""], environ, tmp_path) == "bash\nfish\nzsh\n"
    assert ask(zsh + ["xyzzy"], environ, tmp_path) == ""


def test_fish(environ: Dict[str, str], workers: List[str], program: Path, tmp_path: Path) -> None:
    script = "jd_worker_cli completion fish | source; complete -C 'jd_worker_cli %s'"
    fish = [shell("fish"), "--no-config", "-c"]
    assert ask(fish + [script % "expId=d"], environ, tmp_path) == "expId=digits-tune\n"
    assert ask(fish + [script % "completion "], environ, tmp_path) == "bash\nfish\nzsh\n"


@pytest.mark.parametrize("name", list(SCRIPTS))
def test_the_script_is_printed(name: str, environ: Dict[str, str],
                               capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", name], environ) == 0
    assert capsys.readouterr().out == script(name)


def test_a_shell_that_it_does_not_know(environ: Dict[str, str]) -> None:
    with pytest.raises(UsageError, match="bash or zsh or fish"):
        main.main(["completion", "tcsh"], environ)
    with pytest.raises(UsageError, match="completion needs bash"):
        main.main(["completion"], environ)


def test_bash_reads_the_script_without_a_complaint() -> None:
    done = subprocess.run([shell("bash"), "-n"], input=script("bash").encode(),
                          stderr=subprocess.PIPE, cwd=str(ROOT), env={"PATH": os.defpath}, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
