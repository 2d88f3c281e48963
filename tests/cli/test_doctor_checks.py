"""The checks of `doctor` that look at this process and this machine, with faked facts."""

import resource
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import pytest

import jd
from jd.cli import packageowner
from jd.cli.checkup import hardware, software, surroundings, variables
from jd.cli.checkup.finding import OK, PROBLEM, WARNING, Finding, worst
from jd.dist.metadata import load_project
from jd.node.cgroups import Groups
from tests.support import ROOT

GIB = 1024 ** 3


def expect_only(findings: List[Finding], level: str, *words: str) -> Finding:
    """The one finding of `level`, which is the worst, says `words`, and gives advice."""
    assert worst(findings) == level, findings
    finding, = [found for found in findings if found.level == level]
    for word in words:
        assert word in finding.what + "\n" + finding.advice
    assert finding.advice or level == OK
    return finding


# ---- software

def test_python_as_it_is() -> None:
    expect_only(software.python(), OK)
    assert worst(software.modules()) == OK


def test_an_old_python() -> None:
    expect_only(software.python((3, 7, 9), "/usr/bin/python3"), PROBLEM, "3.7.9", "3.8 or newer")
    expect_only(software.python((3, 8, 0), ""), PROBLEM, "executable unknown")


def module(**attributes: Any) -> SimpleNamespace:
    return SimpleNamespace(**attributes)


def test_an_old_sqlite() -> None:
    versions = {"sqlite3": module(sqlite_version_info=(3, 25, 9)), "ssl": module(OPENSSL_VERSION="OpenSSL")}
    expect_only(software.modules(versions.__getitem__), PROBLEM, "SQLite 3.25.9", "3.26.0")
    versions["sqlite3"] = module(sqlite_version_info=(3, 26, 0))
    assert worst(software.modules(versions.__getitem__)) == OK


@pytest.mark.parametrize("missing", ["sqlite3", "ssl"])
def test_a_python_without_a_module(missing: str) -> None:
    def load(name: str) -> Any:
        if name == missing:
            raise ImportError("No module named _" + name)
        return module(sqlite_version_info=(3, 40, 0), OPENSSL_VERSION="OpenSSL")
    expect_only(software.modules(load), PROBLEM, "no %s module" % missing)


def test_scripts_can_import_jd_from_anywhere() -> None:
    assert [f.what for f in software.package({})][1:] == ["scripts can import jd"]


def test_a_script_that_cannot_import_jd_or_gets_another(tmp_path: Path) -> None:
    def run(_command: Sequence[str], _environ: Mapping[str, str]) -> Tuple[int, str]:
        return 1, "Traceback\nModuleNotFoundError: No module named 'jd'\n"
    expect_only(software.package({}, run), PROBLEM, "cannot import jd: ModuleNotFoundError")
    (tmp_path / "jd.py").write_text("__version__ = '0.1'")
    expect_only(software.package({"PYTHONPATH": str(tmp_path)}), WARNING, "version 0.1", str(tmp_path))
    (tmp_path / "jd.py").write_text("__version__ = '0.1'\n__product__ = %r" % jd.__product__)
    found = software.package({"PYTHONPATH": str(tmp_path)})
    assert "another vendor" not in found[-1].what and "version 0.1" in found[-1].what
    assert jd.__version__ != "0.1"


def test_another_vendors_package_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if its version is ours."""
    (tmp_path / "jd.py").write_text("__version__ = %r" % jd.__version__)
    expect_only(software.package({"PYTHONPATH": str(tmp_path)}), WARNING, "another vendor's package",
                str(tmp_path), "pip install --no-index")
    told = tmp_path / "jd_worker-1.29.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: jd-worker\nVersion: 1.29.0\nAuthor: Another\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packageowner.other_package() == "1.29.0"
    expect_only(software.package({}), WARNING, "jd-worker 1.29.0 of another vendor",
                "pip uninstall jd-worker")
    (told / "METADATA").write_text(
        "Name: jd-worker\nVersion: %s\nAuthor: %s\n" % (jd.__version__, jd.__author__))
    assert packageowner.other_package() is None


def test_the_package_says_who_made_it() -> None:
    """As its metadata does: that is how an installed one is told from another vendor's."""
    assert load_project(ROOT).authors == (jd.__author__,)


@pytest.mark.parametrize("first_line, source, output, level, words", [
    ("#!/bin/sh", "import jd", None, None, ""),
    ("#!%s" % sys.executable, "print(1)", None, None, ""),
    ("#!%s" % sys.executable, "import jd", None, OK, "has the same jd"),
    ("#!%s" % sys.executable, "from jd import jd_upload", "other 1.15.0 /x/jd/__init__.py\n", WARNING,
     "another vendor's package"),
    ("#!/usr/bin/env python3", "import jd", "Traceback\nImportError: jd needs", WARNING,
     "cannot: ImportError: jd needs")])
def test_the_python_of_the_entry_script(tmp_path: Path, first_line: str, source: str, output: Optional[str],
                                        level: Optional[str], words: str) -> None:
    script = tmp_path / "train"
    script.write_text("%s\n%s\n" % (first_line, source))

    def run(command: Sequence[str], _environ: Mapping[str, str]) -> Tuple[int, str]:
        assert list(command[:-2]) == first_line[2:].split()
        return (1 if str(output).startswith("Traceback") else 0), str(output)
    found = software.interpreter({"JD_ENTRY_SCRIPT": str(script)}, None if output is None else run)
    if level is None:
        assert found == []
    else:
        expect_only(found, level, words)


@pytest.mark.parametrize("first_line, prefix, level, words", [
    ("#!%s" % sys.executable, "/envs/torch", WARNING, "python=%s runs it with that Python" % sys.executable),
    ("#!/usr/bin/env python3", "/envs/torch", OK, "python=python3 runs it with the former"),
    ("#!/usr/bin/env -S python3 -u", "/envs/torch", OK, "python=python3 runs"),
    ("#!%s" % sys.executable, sys.prefix, None, ""), ("import os", "/envs/torch", None, ""),
    ("#!/bin/sh", "/envs/torch", None, ""), ("#!/no/such/python", "/envs/torch", None, ""),
])
def test_a_py_whose_first_line_names_another_python(tmp_path: Path, first_line: str, prefix: str,
                                                    level: Optional[str], words: str) -> None:
    script = tmp_path / "train.py"
    script.write_text("%s\nimport jd\n" % first_line)

    def run(_command: Sequence[str], _environ: Mapping[str, str]) -> Tuple[int, str]:
        return 0, prefix + "\n"
    found = software.interpreter({"JD_ENTRY_SCRIPT": str(script)}, run)
    if level is None:
        assert found == []
    else:
        expect_only(found, level, words, first_line, "jd runs it with " + sys.executable)


def test_the_python_that_is_named_for_the_entry_script(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("#!/usr/bin/env python3\nimport jd\n")
    environ = {"JD_ENTRY_SCRIPT": str(script), "JD_PYTHON": sys.executable}
    expect_only(software.interpreter(environ), OK, "has the same jd")
    expect_only(software.entry_script(environ), OK, "with Python %d." % sys.version_info[0], sys.executable)
    environ["JD_PYTHON"] = str(tmp_path / "gone")
    expect_only(software.entry_script(environ), PROBLEM, "gone does not exist")
    assert software.interpreter(environ) == []


def test_an_encoding_that_holds_little() -> None:
    expect_only(software.encoding("ascii"), WARNING, "ascii", "C.UTF-8")
    assert software.encoding("utf-8") == software.encoding("UTF8") == []


@pytest.mark.parametrize("content, level, words", [
    ("print(1)", OK, "train.py"), ("print(", PROBLEM, "line 1"), ("\0", PROBLEM, ""),
    (None, PROBLEM, "cannot find"),
])
def test_the_entry_script(content: Optional[str], level: str, words: str, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    if content is not None:
        script.write_text(content)
    expect_only(software.entry_script({"JD_ENTRY_SCRIPT": str(script)}), level, words)


def test_no_entry_script_is_no_finding() -> None:
    assert software.entry_script({}) == []


# ---- variables

@pytest.mark.parametrize("name, words", [
    ("JD_NUM_WORKER", "did you mean JD_NUM_WORKERS?"), ("jd_server", "did you mean JD_SERVER?"),
    ("JD_SERVER_TOKENFILE", "JD_SERVER_TOKEN_FILE?"), ("JD_QQQQ", "unset it"),
])
def test_a_misspelt_variable(name: str, words: str) -> None:
    finding = expect_only(variables.names({name: "a-secret", "PATH": "/bin"}), WARNING, name, words)
    assert "a-secret" not in finding.what + finding.advice


@pytest.mark.parametrize("name", ["JD_SERVER", "JD_JOB_ID", "JD_WORKER_TOKEN", "JD_DEBUG", "JD_SCRATCH",
                                  "JD_UPLOAD_MAX_RETRIES", "JD_SERVER_EXP_ID", "XJD_X", "JD_SERVER_FILE",
                                  "JD_TOKEN_REFRESH_RETRIES", "JD_TOKEN_REFRESH_RETRY_SLEEP_MAX"])
def test_known_variables_are_no_news(name: str) -> None:
    assert variables.names({name: "1"}) == []


def test_values_that_cannot_be_used() -> None:
    expect_only(variables.values({"JD_PORT": "70000"}), PROBLEM, "JD_PORT: '70000'", "from 1 to 65535")
    expect_only(variables.values({"JD_UPLOAD_MAX_RETRIES": "x"}), PROBLEM, "JD_UPLOAD_MAX_RETRIES")
    expect_only(variables.values({"JD_SERVER_MAX_ATTEMPTS": "x"}), WARNING, "JD_SERVER_MAX_ATTEMPTS")


def test_secrets_are_never_shown() -> None:
    for secret in ("hush-hush", "hush hush"):
        findings = variables.values({"JD_API_KEY": secret, "JD_PORT": "1"})
        assert secret not in repr(findings) and "JD_API_KEY" in repr(findings)


def test_no_variables() -> None:
    expect_only(variables.values({"JD_PORT": "  "}), OK, "no JD_ variable")


# ---- surroundings

@pytest.mark.parametrize("name", ["", "localhost", "localhost.localdomain", "(none)"])
def test_a_host_without_a_name(name: str) -> None:
    expect_only(surroundings.host(name), WARNING, "look alike")


def test_users(tmp_path: Path) -> None:
    def known(_uid: int) -> Any:
        return SimpleNamespace(pw_name="ann", pw_dir=str(tmp_path))

    def unknown(uid: int) -> Any:
        raise KeyError(uid)
    expect_only(surroundings.user({}, 7, known), OK, "user ann (uid 7), home %s" % tmp_path)
    expect_only(surroundings.user({"HOME": str(tmp_path)}, 7, unknown), OK, "uid 7, without a passwd entry")
    expect_only(surroundings.user({}, 7, unknown), PROBLEM, "no home directory", "set HOME")
    both = {"JD_WORKSPACE_PATH": "/w", "JD_CACHE_PATH": "/c"}
    expect_only(surroundings.user(both, 7, unknown), WARNING, "no home directory")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    expect_only(surroundings.user({"HOME": str(tmp_path / "home")}), WARNING,
                "cannot be written: Not a directory")


def test_temporary_files(tmp_path: Path) -> None:
    expect_only(surroundings.temporary_files({"TMPDIR": str(tmp_path / "gone")}), WARNING, "TMPDIR is")

    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")
    expect_only(surroundings.temporary_files({}, nowhere), PROBLEM, "set TMPDIR")
    expect_only(surroundings.temporary_files({"TMPDIR": str(tmp_path)}), OK)


@pytest.mark.parametrize("mask, level", [(0o000, WARNING), (0o020, WARNING), (0o700, PROBLEM),
                                         (0o477, PROBLEM)])
def test_umasks(mask: int, level: str) -> None:
    expect_only(surroundings.mask(mask), level, "umask %03o" % mask)


def test_usual_umasks_are_no_news() -> None:
    assert surroundings.mask(0o022) == surroundings.mask(0o077) == surroundings.mask(0o002 | 0o020) == []
    assert isinstance(surroundings.mask(), list)


def test_a_clock_that_was_never_set() -> None:
    expect_only(surroundings.clock(0.0), PROBLEM, "1970-01-01")
    assert surroundings.clock() == []


def limited(**soft: int) -> Callable[[int], Tuple[int, int]]:
    kinds = {getattr(resource, "RLIMIT_" + name.upper()): value for name, value in soft.items()}
    return lambda kind: (kinds.get(kind, resource.RLIM_INFINITY), resource.RLIM_INFINITY)


@pytest.mark.parametrize("name, value, words", [
    ("nofile", 1023, "1023 open files"), ("nproc", 100, "100 processes"), ("cpu", 3600, "3600 s of CPU"),
    ("fsize", 1000, "larger than 1000 bytes"),
])
def test_limits_that_a_sweep_runs_into(name: str, value: int, words: str) -> None:
    findings = surroundings.limits(limited(**{name: value}))
    assert worst(findings) == WARNING
    assert [f for f in findings if f.level == WARNING and words in f.what and "ulimit -" in f.advice]


def test_generous_limits() -> None:
    expect_only(surroundings.limits(limited()), OK, "unlimited open files, unlimited processes",
                "core files of any size")
    expect_only(surroundings.limits(limited(nofile=1024, nproc=4096, core=0)), OK, "core files off")


def ignoring(*numbers: int) -> Callable[[int], object]:
    return lambda number: signal.SIG_IGN if number in numbers else signal.SIG_DFL


@pytest.mark.parametrize("number, level, words", [
    (signal.SIGTERM, WARNING, "exec jd_worker_cli"), (signal.SIGCHLD, WARNING, "exit statuses"),
    (signal.SIGINT, OK, "background jobs"), (signal.SIGHUP, OK, "nohup"),
])
def test_ignored_signals(number: signal.Signals, level: str, words: str) -> None:
    expect_only(surroundings.signals(ignoring(number)), level, number.name + " is ignored", words)


def test_signals_as_usual() -> None:
    assert surroundings.signals(ignoring()) == []


# ---- hardware

def machine(tmp_path: Path, meminfo: str = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n",
            **group: str) -> Tuple[Groups, Path]:
    """A machine whose files of /proc are fakes; `group` are files of a control group (version 2)."""
    proc, cgroup = tmp_path / "proc/self", tmp_path / "sys/fs/cgroup"
    proc.mkdir(parents=True)
    cgroup.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(meminfo)
    (proc / "cgroup").write_text("0::/\n")
    (proc / "mountinfo").write_text("30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    for name, text in group.items():
        (cgroup / name.replace("_", ".", 1)).write_text(text)
    return Groups(tmp_path), tmp_path


def test_what_each_job_gets(tmp_path: Path) -> None:
    groups, mask = Groups(tmp_path), frozenset(range(8))
    finding = expect_only(hardware.of_each_job({"JD_NUM_WORKERS": "4"}, groups, mask), OK, "OMP_NUM_THREADS")
    assert finding.what.startswith("threads: 2 for each job: 8 CPUs for 4 workers (")
    expect_only(hardware.of_each_job({}, groups, mask), OK, "8 CPUs divided by the workers of its launch")
    expect_only(hardware.of_each_job({"JD_THREADS": "inherit"}, groups, mask), OK, "threads=inherit")
    threads, memory = hardware.of_each_job({"OMP_NUM_THREADS": "3", "JD_MEMORY": "4G"}, groups, mask)
    assert "OMP_NUM_THREADS=3" in threads.what and "memory=4G" in memory.what


def test_more_workers_than_processors(tmp_path: Path) -> None:
    groups, _ = machine(tmp_path)
    cpus = frozenset(range(8))
    expect_only(hardware.processors({"JD_NUM_WORKERS": "8"}, groups, cpus), OK, "8 processors")
    expect_only(hardware.processors({"JD_NUM_WORKERS": "9"}, groups, cpus), WARNING, "JD_NUM_WORKERS=9")
    expect_only(hardware.processors({}, groups, frozenset([3])), OK, "1 processor")


def test_the_quota_of_a_container_counts(tmp_path: Path) -> None:
    groups, _ = machine(tmp_path, cpu_max="150000 100000")
    finding = expect_only(hardware.processors({"JD_NUM_WORKERS": "4"}, groups, frozenset(range(8))), WARNING)
    assert "8 processors, of which the container or job may use 1.5" in finding.what


def test_memory(tmp_path: Path) -> None:
    groups, root = machine(tmp_path)
    expect_only(hardware.memory({}, groups, root), OK, "4.0 GiB of memory available")
    expect_only(hardware.memory({"JD_NUM_WORKERS": "8"}, groups, root), OK)
    expect_only(hardware.memory({"JD_NUM_WORKERS": "9"}, groups, root), WARNING, "for 9 workers")


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    groups, root = machine(tmp_path, memory_max=str(GIB), memory_current=str(GIB * 3 // 4))
    expect_only(hardware.memory({}, groups, root), WARNING, "256 MiB",
                "limit of the container or job 1.0 GiB")


SMI = "GPU 0: A100 (UUID: GPU-1)\nGPU 1: A100 (UUID: GPU-2)\n"


def gpus(environ: Dict[str, str], status: int = 0, output: str = SMI,
         tool: str = "nvidia-smi") -> List[Finding]:
    return hardware.gpus(environ, lambda _command: (status, output),
                         lambda name: name if name == tool else None)


def test_gpus() -> None:
    expect_only(gpus({}), OK, "nvidia-smi lists 2 GPUs")
    expect_only(gpus({}, output="GPU[0]\t: Name\nGPU[0]\t: ID\n", tool="rocm-smi"), OK,
                "rocm-smi lists 1 GPU")
    expect_only(gpus({}, tool=""), OK, "none")
    assert [f.what for f in gpus({"ZE_AFFINITY_MASK": "0.1"}, tool="")] == ["ZE_AFFINITY_MASK=0.1"]


def test_a_driver_that_does_not_answer() -> None:
    expect_only(gpus({}, 9, "NVIDIA-SMI has failed\n"), WARNING,
                "nvidia-smi does not work: NVIDIA-SMI has failed")


@pytest.mark.parametrize("value, level", [("0,1", OK), ("MIG-x", OK), ("GPU-2", OK), ("2", WARNING),
                                          ("", WARNING), ("-1", WARNING), ("NoDevFiles", WARNING),
                                          pytest.param("9" * 5000, WARNING, id="long")])
def test_visible_gpus(value: str, level: str) -> None:
    findings = gpus({"CUDA_VISIBLE_DEVICES": value})
    assert worst(findings) == level
    assert findings[-1].what.startswith("CUDA_VISIBLE_DEVICES=" + value)
