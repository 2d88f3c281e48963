"""Wheels (PEP 427): the package itself, or a path to the sources for an editable installation."""

import base64
import csv
import hashlib
import io
import os
from pathlib import Path
from typing import Iterable, List

from jd.dist import archive, contents
from jd.dist.archive import Entry
from jd.dist.metadata import Project, ProjectError, entry_points_text, metadata_text

TAG = "py3-none-any"


def file_name(project: Project) -> str:
    """What the wheel of a project is called."""
    return "%s-%s.whl" % (project.file_name, TAG)


def build_wheel(project: Project, directory: Path) -> Path:
    """Write the wheel into `directory` and return its path. The same tree gives the same bytes."""
    package = [Entry(name, contents.read_bytes(project.root, name))
               for name in contents.package_files(project.root)]
    return _write(project, package, directory)


def build_editable(project: Project, directory: Path) -> Path:
    """Write a wheel that only points at the sources (PEP 660) and return its path."""
    root = os.path.abspath(str(project.root))
    if "\n" in root or "\r" in root:
        raise ProjectError("%r: a path with a line break cannot be put into a .pth file" % root,
                           "move the checkout")
    pointer = Entry("__editable__.%s.pth" % project.file_name, os.fsencode(root) + b"\n")
    return _write(project, [pointer], directory)


def dist_info_entries(project: Project) -> List[Entry]:
    """The metadata files of a wheel, all but RECORD."""
    about = ("Wheel-Version: 1.0\nGenerator: jd.dist (%s)\nRoot-Is-Purelib: true\nTag: %s\n"
             % (project.version, TAG))
    files = {
        "LICENSE": contents.read_bytes(project.root, "LICENSE"),
        "METADATA": metadata_text(project).encode("utf-8"),
        "WHEEL": about.encode("ascii"),
        "entry_points.txt": entry_points_text(project).encode("ascii"),
    }
    return [Entry("%s/%s" % (project.dist_info, name), files[name]) for name in sorted(files)]


def digest(data: bytes) -> str:
    """The hash as RECORD has it: urlsafe base64 without padding (PEP 376, PEP 427)."""
    return "sha256=" + base64.urlsafe_b64encode(
        hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")


def record_text(entries: Iterable[Entry], record_name: str) -> str:
    """RECORD: name, hash and size of every entry, and itself without either."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for entry in entries:
        writer.writerow((entry.name, digest(entry.data), len(entry.data)))
    writer.writerow((record_name, "", ""))
    return lines.getvalue()


def _write(project: Project, payload: List[Entry], directory: Path) -> Path:
    entries = payload + dist_info_entries(project)  # metadata last, as PEP 427 recommends
    record = project.dist_info + "/RECORD"
    entries.append(Entry(record, record_text(entries, record).encode("utf-8")))
    path = directory / file_name(project)
    archive.write_whole(path, archive.zip_bytes(entries, archive.timestamp()))
    return path
