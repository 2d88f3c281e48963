"""Variables from a file: `.env` in the current directory, or the one that `jd.init()` is given.

A line is KEY=VALUE; blanks around both do not count, and quotes around the value neither. Blank lines, those
that begin with # and those without = are passed over. A later line wins. Nothing is put into os.environ.
"""

import os
from pathlib import Path
from typing import Dict, Mapping, Optional, Union

from jd.errors import NoFileError
from jd.files import safedirs
from jd.net.finding import published
from jd.sweep.errors import FileTrouble

NAME = ".env"
MAX_BYTES = 1024 * 1024
PathLike = Union[str, "os.PathLike[str]"]


def parse(text: str) -> Dict[str, str]:
    """What a file says."""
    found: Dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and name.strip() and not name.startswith("#"):
            found[name.strip()] = value.strip().strip('"').strip("'")
    return found


def read(given: Optional[PathLike]) -> Dict[str, str]:
    """The variables of a file that somebody names, else of `./.env`, if that is a file.

    Nobody names that one, and it may decide to whom a key is sent: it counts only where nobody else can have
    written it. Raises NoFileError, FileTrouble.
    """
    path = Path(NAME) if given is None else Path(os.path.expanduser(os.fspath(given)))
    try:
        if given is None:
            if not path.is_file():
                return {}
            safedirs.check_file(path.absolute(), published.purpose()._replace(name="file", otherwise=(
                "jd.init(env_file=%r) takes it all the same, if you know who wrote it" % NAME)))
        with open(str(path), "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise FileTrouble("%s has more than %d bytes: it is no file of variables" % (path, MAX_BYTES))
        return parse(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise NoFileError("there is no file %s" % path,
                          "leave env_file out, or give the path of one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileTrouble("%s cannot be read: %s" % (
            path, getattr(error, "strerror", None) or "it is not UTF-8")) from None


def over(file: Mapping[str, str], environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables of a file, with those of the process over them; an empty one counts as unset."""
    return dict(file, **{name: value for name, value in environ.items() if value.strip()})
