"""Apptainer definitions, read as apptainer reads them, and carried out in a root directory."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from tests.bareroot import Network, run_in

# https://apptainer.org/docs/user/main/definition_files.html
SECTIONS = {"setup", "files", "environment", "post", "runscript", "startscript", "test", "labels", "help",
            "arguments", "applabels", "appinstall", "appenv", "apphelp", "apprun", "apptest", "appfiles",
            "appstart"}
_RUN = ". /.singularity.d/env/90-environment.sh; exec /bin/sh /.singularity.d/%s \"$@\""


class Definition(NamedTuple):
    """The header's keys, and sections by their line without %: "post", "apprun hub"."""

    header: Dict[str, str]
    sections: Dict[str, str]


def read(path: Path) -> Definition:
    """Parse a definition. Raises ValueError for what apptainer would not take."""
    header: Dict[str, str] = {}
    sections: Dict[str, List[str]] = {}
    current: List[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"%(\w+)( \w+)?\s*", line)
        if match:
            name = line[1:].strip()
            if match.group(1) not in SECTIONS or name in sections:
                raise ValueError("%s: %s is no section, or is there twice" % (path.name, line))
            current = sections[name] = []
        elif sections:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            if not colon or key.lower() in header:
                raise ValueError("%s: %r is no line of a header" % (path.name, line))
            header[key.lower()] = value.strip()
    return Definition(header, {name: "\n".join(lines) + "\n" for name, lines in sections.items()})


def copy_files(definition: Definition, build_directory: Path, root: Path) -> None:
    """Carry out %files."""
    for line in definition.sections["files"].splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            for path in sorted(build_directory.glob(words[0])):
                shutil.copy(str(path), str(root) + words[1])


def post(definition: Definition, root: Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Carry out %post, without any network."""
    with Network() as network:
        return run_in(root, ["/bin/sh", "-ec", definition.sections["post"]], network=network, **options)


def place_scripts(definition: Definition, root: Path) -> None:
    """Put the scripts of a definition where apptainer has them."""
    place = root / ".singularity.d"
    (place / "env").mkdir(parents=True)
    (place / "env" / "90-environment.sh").write_text(definition.sections["environment"])
    for name, text in definition.sections.items():
        (place / name.replace(" ", "-")).write_text(text)


def command(section: str, *arguments: str) -> List[str]:
    """What `apptainer run`, `test` and `run --app` run in a root that `place_scripts` has seen."""
    return ["/bin/sh", "-c", _RUN % section.replace(" ", "-"), section] + list(arguments)
