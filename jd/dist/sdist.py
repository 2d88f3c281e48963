"""Source distributions: all files that it takes to build, test and document a release."""

from pathlib import Path

from jd.dist import archive, contents
from jd.dist.archive import Entry
from jd.dist.metadata import Project, metadata_text


def file_name(project: Project) -> str:
    """What the sdist of a project is called (PEP 625)."""
    return project.file_name + ".tar.gz"


def build_sdist(project: Project, directory: Path) -> Path:
    """Write the sdist into `directory` and return its path. The same tree gives the same bytes."""
    entries = [contents.read_entry(project.root, name)
               for name in contents.source_files(project.root)]
    entries.append(Entry("PKG-INFO", metadata_text(project).encode("utf-8")))
    inside = [entry._replace(name="%s/%s" % (project.file_name, entry.name))
              for entry in sorted(entries)]
    path = directory / file_name(project)
    archive.write_whole(path, archive.tar_gz_bytes(inside, archive.timestamp()))
    return path
