"""What is carried to machines without a network: one directory, and the same as .tar.gz.

Everything in it is named in its SHA256SUMS, which `sha256sum -c` and install.sh read.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import List

from jd.dist import archive, contents, pyz, sdist, wheel
from jd.dist.archive import Entry
from jd.dist.metadata import Project
from jd.errors import StorageError

CHECKSUMS = "SHA256SUMS"
INSTALLER = "install.sh"
_TREES = ("apptainer", "docker", "docs", "slurm")
_FILES = ("CHANGELOG.md", "LICENSE", "README.md")


def bundle_name(project: Project) -> str:
    """What the directory of a bundle is called."""
    return "%s-%s-bundle" % (project.name, project.version)


def build_bundle(project: Project, directory: Path) -> Path:
    """Write NAME/, NAME.tar.gz and NAME.tar.gz.sha256 into `directory`; the path of the .tar.gz.

    The same tree gives the same bytes. An earlier directory of that name is replaced whole.
    """
    entries = bundle_entries(project)
    name = bundle_name(project)
    packed = archive.tar_gz_bytes(
        [entry._replace(name="%s/%s" % (name, entry.name)) for entry in entries],
        archive.timestamp())
    path = directory / (name + ".tar.gz")
    _write_directory(directory / name, entries)
    archive.write_whole(path, packed)
    archive.write_whole(directory / (path.name + ".sha256"),
                        checksums([Entry(path.name, packed)]))
    return path


def bundle_entries(project: Project) -> List[Entry]:
    """The files of a bundle, sorted by name."""
    root = project.root
    names = [name for tree in _TREES for name in contents.tree_files(root, tree)]
    names += [name for name in _FILES if (root / name).is_file()]
    # A Dockerfile's context is the tree that it stands in.
    if "docker" in {name.split("/")[0] for name in names} and (root / ".dockerignore").is_file():
        names.append(".dockerignore")
    entries = [contents.read_entry(root, name) for name in names]
    installer = contents.read_entry(root, "%s/dist/%s" % (contents.PACKAGE, INSTALLER))
    entries.append(installer._replace(name=INSTALLER))
    entries.append(Entry(pyz.NAME, pyz.pyz_bytes(project), executable=True))
    with tempfile.TemporaryDirectory(prefix="jd-dist-") as scratch:
        for build in (wheel.build_wheel, sdist.build_sdist):
            built = build(project, Path(scratch))
            entries.append(Entry(built.name, built.read_bytes()))
    entries.sort()
    entries.append(Entry(CHECKSUMS, checksums(entries)))
    return sorted(entries)


def checksums(entries: List[Entry]) -> bytes:
    """Lines as sha256sum writes and checks them."""
    return "".join("%s  %s\n" % (hashlib.sha256(entry.data).hexdigest(), entry.name)
                   for entry in entries).encode("ascii")


def _write_directory(place: Path, entries: List[Entry]) -> None:
    staging = ""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staging = tempfile.mkdtemp(prefix=".jd-bundle-", dir=str(place.parent))
        new = Path(staging) / "new"
        for entry in entries:
            archive.write_whole(new / entry.name, entry.data, entry.executable)
        if place.exists():
            os.replace(str(place), os.path.join(staging, "old"))
        os.replace(str(new), str(place))
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (place, error.strerror)) from None
    finally:
        if staging:
            shutil.rmtree(staging, ignore_errors=True)
