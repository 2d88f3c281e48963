"""docker/build.sh and apptainer/build.sh with programs that only write down what they are asked."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List

import pytest

import jd
from tests.support import ROOT, free_env, python

WHEEL = "jd_worker-9.8.7-py3-none-any.whl"
_USED = ("sh", "sed", "ls", "dirname", "mktemp", "rm", "mkdir", "cp", "ln", "mv", "cat")


class Programs:
    """A PATH with a few programs of the system and the engines that a test makes."""

    def __init__(self, tmp_path: Path) -> None:
        self._directory = tmp_path / "bin"
        self._directory.mkdir()
        self._asked = tmp_path / "asked"
        self.environment: Dict[str, str] = free_env(tmp_path, PATH=self._directory, PYTHON=python()[0],
                                                    TMPDIR=tmp_path, SIF_OUT=tmp_path / "out")
        for name in _USED:
            (self._directory / name).symlink_to(str(shutil.which(name)))

    def engine(self, name: str, works: bool = True, then: str = "") -> None:
        """`NAME info` tells whether it works; everything else is written down, then `then` is run."""
        path = self._directory / name
        path.write_text('#!/bin/sh\n[ "$1" != info ] || exit %d\necho "%s $*" >> "%s"\n%s\n' % (
            0 if works else 1, name, self._asked, then))
        path.chmod(0o755)

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(list(command), env=self.environment, stdin=subprocess.DEVNULL, timeout=60,
                              capture_output=True, text=True)

    @property
    def asked(self) -> List[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def bundle(tmp_path: Path) -> Path:
    """As an unpacked bundle: a wheel and no sources."""
    directory = tmp_path / "a bundle"
    for name in ("docker", "apptainer"):
        shutil.copytree(str(ROOT / name), str(directory / name))
    (directory / WHEEL).write_text("a wheel")
    return directory


def test_no_engine_is_one_line(programs: Programs) -> None:
    programs.engine("docker", works=False)
    done = programs.run(str(ROOT / "docker/build.sh"))
    assert (done.returncode, programs.asked) == (1, [])
    assert done.stderr == ("error: images need docker (with its daemon), podman or buildah, and none works "
                           "here\n")


@pytest.mark.parametrize("works, expected", [
    ({"docker": True, "podman": True}, "docker build -f"),
    ({"docker": False, "podman": True, "buildah": True}, "podman build --format docker -f"),
    ({"docker": False, "buildah": True}, "buildah bud --format docker -f"),
])
def test_the_first_engine_that_works_builds_all_images(programs: Programs, works: Dict[str, bool],
                                                       expected: str) -> None:
    for name, whether in works.items():
        programs.engine(name, whether)
    done = programs.run(str(ROOT / "docker/build.sh"), "--build-arg", "BASE=my/base:1")
    assert done.returncode == 0, done.stderr
    version = jd.__version__
    assert programs.asked == [
        "%s docker/Dockerfile --target %s --build-arg VERSION=%s -t jd-%s:%s -t jd-%s:latest --build-arg "
        "BASE=my/base:1 ." % (expected, target, version, target, version, target)
        for target in ("worker", "server", "hub")]


def test_images_of_a_bundle_have_the_version_of_its_wheel(programs: Programs, tmp_path: Path) -> None:
    programs.engine("podman")
    assert programs.run(str(bundle(tmp_path) / "docker/build.sh")).returncode == 0
    assert "VERSION=9.8.7 -t jd-worker:9.8.7" in programs.asked[0]


def test_an_image_that_cannot_be_built_ends_it(programs: Programs) -> None:
    programs.engine("podman", then="exit 3")
    assert programs.run(str(ROOT / "docker/build.sh")).returncode == 3
    assert len(programs.asked) == 1


def test_an_engine_that_is_named_wrongly(programs: Programs) -> None:
    programs.environment["ENGINE"] = "kaniko"
    done = programs.run(str(ROOT / "docker/build.sh"))
    assert (done.returncode, done.stderr) == (
        1, "error: ENGINE=kaniko is not known; name docker, podman or buildah\n")


# ---- SIF files

def test_no_apptainer_is_one_line(programs: Programs) -> None:
    done = programs.run(str(ROOT / "apptainer/build.sh"))
    assert (done.returncode, done.stderr) == (
        1, "error: SIF files need apptainer or singularity, and neither is installed here\n")


@pytest.mark.parametrize("engine", ["apptainer", "singularity"])
def test_sif_files_are_built_beside_the_wheel(programs: Programs, tmp_path: Path, engine: str) -> None:
    programs.engine(engine, then='set -eu; ls jd_worker-*.whl > "$3"')
    done = programs.run(str(ROOT / "apptainer/build.sh"), "--fakeroot")
    assert done.returncode == 0, done.stderr
    assert programs.asked == ["%s build --fakeroot %s.sif %s/apptainer/%s.def" % (engine, name, ROOT, name)
                              for name in ("jd-worker", "jd-server")]
    for name in ("jd-worker.sif", "jd-server.sif"):
        assert (tmp_path / "out" / name).read_text() == "jd_worker-%s-py3-none-any.whl\n" % jd.__version__
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp.")] == []


def test_sif_files_of_a_bundle(programs: Programs, tmp_path: Path) -> None:
    directory = bundle(tmp_path)
    (directory / "base.sif").write_text("a base")
    programs.engine("apptainer", then='cat jd_worker-*.whl base.sif > "$2"')
    done = programs.run(str(directory / "apptainer/build.sh"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "jd-server.sif").read_text() == "a wheela base"


def test_a_build_that_fails_leaves_the_old_file(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "jd-worker.sif").write_text("old")
    programs.engine("apptainer", then='echo half > "$2"; exit 255')
    assert programs.run(str(ROOT / "apptainer/build.sh")).returncode == 255
    assert (tmp_path / "out" / "jd-worker.sif").read_text() == "old"
    assert os.listdir(str(tmp_path / "out")) == ["jd-worker.sif"]


@pytest.mark.parametrize("target, script", [("image", "docker/build.sh"), ("sif", "apptainer/build.sh")])
def test_make_says_the_same(programs: Programs, target: str, script: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = programs.run(make, "-s", "-C", str(ROOT), target, "PYTHON=" + python()[0])
    assert done.returncode != 0
    assert programs.run(str(ROOT / script)).stderr in done.stderr
