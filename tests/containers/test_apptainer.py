"""The Apptainer definitions: their sections, carried out in a bare Debian."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd.dist import backend, wheel
from jd.dist.metadata import load_project
from tests.bareroot import Network, copy_root, end, enter, first_process, needs_bare_root, run_in
from tests.containers import definition
from tests.containers.definition import Definition
from tests.containers.test_images import TRAIN
from tests.support import ROOT, wait_until

NAMES = ("jd-worker", "jd-server")
DEFINITIONS = {name: definition.read(ROOT / "apptainer" / (name + ".def")) for name in NAMES}
RUNS = [("jd-worker", "runscript"), ("jd-worker", "apprun worker"), ("jd-server", "runscript"),
        ("jd-server", "apprun server"), ("jd-server", "apprun hub")]


# ---- what is written

@pytest.mark.parametrize("name", NAMES)
def test_sections(name: str) -> None:
    one = DEFINITIONS[name]
    assert one.header == {"bootstrap": "docker", "from": "python:3.13-slim"}
    assert {"files", "post", "environment", "runscript", "startscript", "test", "labels",
            "help"} <= set(one.sections)
    assert [line for line in one.sections["environment"].splitlines() if "JD_" in line] == []
    for line in one.sections["labels"].splitlines():
        assert not line or re.fullmatch(r"    \S+ \S.*", line)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["docker-archive", "localimage", "debootstrap"])
def test_other_sources_need_their_comment_signs_removed_alone(name: str, source: str, tmp_path: Path) -> None:
    text = (ROOT / "apptainer" / (name + ".def")).read_text()
    variant = re.search(r"^#Bootstrap: %s\n(#\w+: .*\n)+" % source, text, re.MULTILINE)
    assert variant is not None
    other = tmp_path / "other.def"
    other.write_text(re.sub("(?m)^#", "", variant.group()) + text.split("\n", 2)[2])
    header = definition.read(other).header
    assert header["bootstrap"] == source and ("from" in header or "mirrorurl" in header)
    assert definition.read(other).sections == DEFINITIONS[name].sections


@pytest.mark.parametrize("name, section", RUNS + [("jd-worker", "startscript"), ("jd-server", "startscript")])
def test_run_scripts_become_the_command(name: str, section: str) -> None:
    lines = DEFINITIONS[name].sections[section].strip().splitlines()
    assert re.fullmatch(r' *exec /opt/jd/bin/\w+ "\$@"', lines[-1])


@pytest.mark.parametrize("name", NAMES)
def test_every_script_is_sh(name: str) -> None:
    for section, text in DEFINITIONS[name].sections.items():
        if section not in ("files", "labels", "help"):
            subprocess.run(["sh", "-n", "-c", text], check=True)


@pytest.mark.parametrize("line", ["%pots\n", "%post\n%post\n", "Bootstrap docker\n"])
def test_a_definition_with_a_mistake_is_none(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.def").write_text(line)
    with pytest.raises(ValueError):
        definition.read(tmp_path / "x.def")


# ---- what it does

@pytest.fixture(scope="module")
def build_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What apptainer/build.sh builds in: a directory with the wheel."""
    directory = tmp_path_factory.mktemp("build")
    wheel.build_wheel(load_project(backend.source_root()), directory)
    return directory


@pytest.fixture(scope="module")
def roots(bare_root: Path, build_directory: Path,
          tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, Path]]:
    """The root of each image, built."""
    directory = tmp_path_factory.mktemp("sif")
    made = {}
    for name, one in DEFINITIONS.items():
        made[name] = copy_root(bare_root, directory / name)
        definition.copy_files(one, build_directory, made[name])
        done = definition.post(one, made[name])
        assert done.returncode == 0, done.stderr
        definition.place_scripts(one, made[name])
    yield made
    shutil.rmtree(str(directory), ignore_errors=True)


@pytest.mark.slow
@needs_bare_root
@pytest.mark.parametrize("name", NAMES)
def test_the_built_image_passes_its_own_test(roots: Dict[str, Path], name: str) -> None:
    done = run_in(roots[name], definition.command("test"), user="34567:34567", read_only=True,
                  tmpfs=["/tmp"], env={"HOME": "/tmp"})
    assert done.returncode == 0, done.stderr
    assert list((roots[name] / "opt").glob("*.whl")) == []


@pytest.mark.slow
@needs_bare_root
@pytest.mark.parametrize("name, section", RUNS)
def test_every_run_script_runs_its_command(roots: Dict[str, Path], name: str, section: str) -> None:
    command, argument = {"jd-worker": ("jd_worker_cli", "version"),
                         "jd-server": ("jd_server", "--version")}[name]
    if section == "apprun hub":
        command = "jd_hub"
    done = run_in(roots[name], definition.command(section, argument), user="34567:34567", read_only=True,
                  tmpfs=["/tmp"], env={"HOME": "/tmp"})
    assert done.returncode == 0 and done.stdout.startswith(command + " "), done.stderr


@pytest.mark.slow
@needs_bare_root
def test_a_sweep_on_a_read_only_root_with_the_home_of_the_host(roots: Dict[str, Path],
                                                               tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "train.py").write_text(TRAIN)
    (home / "sweep.json").write_text('{"x": [1, 2, 3]}')
    for path in (home, home / "train.py", home / "sweep.json"):
        os.chown(str(path), 34567, 34567)
    options: Dict[str, Any] = {"user": "34567:34567", "read_only": True, "tmpfs": ["/tmp"], "cwd": "/mnt",
                               "binds": {home: "/mnt"}}
    log = tmp_path / "log"
    processes = []
    with Network() as network, open(str(log), "wb") as stream:
        def start(name: str, *words: str, **environ: str) -> "subprocess.Popen[bytes]":
            process = enter(roots[name], definition.command("runscript", *words), network=network,
                            stdout=stream, stderr=stream, env=dict({"HOME": "/mnt"}, **environ), **options)
            processes.append(process)
            return process

        try:
            start("jd-server", "--expId", "sweep", "--jobs", "sweep.json")
            wait_until(lambda: "from sweep.json" in log.read_text(), message="the server is ready")
            # The host's value counts, as nothing in the image has one.
            worker = start("jd-worker", "expId=sweep", "entry_script=train.py", JD_WORKSPACE_PATH="/tmp/w")
            results = home / "jd_server" / "sweep" / "data"
            wait_until(lambda: len(list(results.glob("*/result.json"))) == 3, 60, log.read_text())
            os.kill(first_process(worker), signal.SIGTERM)
            assert worker.wait(60) == 0
            assert not (home / "jd_data").exists()
        finally:
            for process in processes:
                end(process)


@pytest.mark.slow
@needs_bare_root
@pytest.mark.parametrize("wheels, error", [
    ([], "error: one jd_worker-*.whl has to be in the directory of the build\n"),
    (["jd_worker-1-py3-none-any.whl", "jd_worker-2-py3-none-any.whl"],
     "error: one jd_worker-*.whl has to be in the directory of the build\n"),
])
def test_post_refuses_what_it_cannot_build_from(bare_root: Path, tmp_path: Path, wheels: List[str],
                                                error: str) -> None:
    for name in wheels:
        (tmp_path / name).write_text("")
    one: Definition = DEFINITIONS["jd-worker"]
    done = definition.post(one, bare_root, read_only=True, binds={tmp_path: "/opt"})
    assert (done.returncode, done.stderr) == (1, error)


@pytest.mark.slow
@needs_bare_root
def test_post_refuses_an_old_python(bare_root: Path, build_directory: Path, tmp_path: Path) -> None:
    shutil.copy(str(next(build_directory.glob("*.whl"))), str(tmp_path))
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    done = definition.post(DEFINITIONS["jd-server"], bare_root, read_only=True, binds={tmp_path: "/opt"},
                           env={"PATH": "/opt:/usr/bin:/bin"})
    assert (done.returncode, done.stderr) == (1, "error: the base has no python3 that is 3.8 or newer\n")
