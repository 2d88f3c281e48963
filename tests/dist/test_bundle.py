"""The bundle: what is in it, and that it is the same wherever it is built."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jd.dist import contents
from jd.dist.bundle import build_bundle
from jd.dist.metadata import load_project
from tests.dist.trees import copy_checkout, put, tar_members
from tests.support import ROOT, free_env, python

EXTRA = {"docs/page.md": "# Page\n", "slurm/jd_array.sbatch": "#!/bin/bash\n", ".dockerignore": "x\n",
         "docker/Dockerfile": "FROM scratch\n", "apptainer/jd-worker.def": "Bootstrap: docker\n",
         "CHANGELOG.md": "# Changes\n", "tests/test_it.py": ""}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = copy_checkout(tmp_path_factory.mktemp("bundle") / "tree")
    for name in contents.SOURCE_TREES:
        if name != contents.PACKAGE:
            shutil.rmtree(str(tree / name), ignore_errors=True)
    put(tree, EXTRA)
    return tree


def _files(directory: Path) -> "dict[str, bytes]":
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*") if path.is_file()}


def test_it_has_everything_and_names_it(tree: Path, tmp_path: Path) -> None:
    project = load_project(tree)
    packed = build_bundle(project, tmp_path)
    name = "jd-worker-%s-bundle" % project.version
    assert packed.name == name + ".tar.gz"
    files = _files(tmp_path / name)
    assert set(files) == {
        "install.sh", "jd-worker.pyz", "jd_worker-%s-py3-none-any.whl" % project.version,
        "jd_worker-%s.tar.gz" % project.version, "SHA256SUMS", "LICENSE", "README.md", "CHANGELOG.md",
        "docs/page.md", "slurm/jd_array.sbatch", "docker/Dockerfile", ".dockerignore",
        "apptainer/jd-worker.def"}
    lines = [line.partition("  ") for line in files["SHA256SUMS"].decode().splitlines()]
    assert {file: digest for digest, _, file in lines} == {
        file: hashlib.sha256(data).hexdigest() for file, data in files.items() if file != "SHA256SUMS"}
    own = (tmp_path / (packed.name + ".sha256")).read_text()
    assert own == "%s  %s\n" % (hashlib.sha256(packed.read_bytes()).hexdigest(), packed.name)
    members = tar_members(packed)
    assert {member[len(name) + 1:] for member in members} == set(files)
    executable = {member[len(name) + 1:] for member, info in members.items() if info.mode == 0o755}
    assert executable == {"install.sh", "jd-worker.pyz", "slurm/jd_array.sbatch"}
    assert os.access(str(tmp_path / name / "jd-worker.pyz"), os.X_OK)


def test_two_builds_are_the_same_bytes_and_an_earlier_one_is_replaced(tree: Path, tmp_path: Path) -> None:
    first = build_bundle(load_project(tree), tmp_path / "one")
    directory = first.parent / first.name[:-len(".tar.gz")]
    before = _files(directory)
    (directory / "stale").write_text("x")
    elsewhere = tmp_path / "a tree elsewhere"
    shutil.copytree(str(tree), str(elsewhere), copy_function=shutil.copyfile)
    subprocess.run(python("-m", "jd.dist", "bundle", "--out", tmp_path / "two"), check=True, timeout=60,
                   cwd=str(tmp_path), stdout=subprocess.DEVNULL, preexec_fn=lambda: os.umask(0o077),
                   env=free_env(tmp_path, PYTHONPATH=elsewhere, LC_ALL="C", TZ="Asia/Tokyo"))
    assert (tmp_path / "two" / first.name).read_bytes() == first.read_bytes()
    build_bundle(load_project(tree), tmp_path / "one")
    assert _files(directory) == before
    assert [path.name for path in (tmp_path / "one").iterdir() if path.name.startswith(".")] == []


def test_links_of_the_documentation_lead_somewhere_in_it() -> None:
    carried = {name for name in contents.source_files(ROOT) if not name.startswith(("jd/", "tests/", ".ci/"))}
    for name in sorted(carried):
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text(encoding="utf-8")):
                if "://" not in target:
                    path = os.path.normpath(os.path.join(os.path.dirname(name), target))
                    assert path in carried or any(other.startswith(path + "/") for other in carried), name
