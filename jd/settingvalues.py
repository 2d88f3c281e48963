"""From the text of a setting to its value: one parser for each kind of argument or variable.

A parser takes text, and raises ValueError that says what is allowed. Every command has all parsers and uses
a few: what only one of them needs is imported in it.
"""

from __future__ import annotations

import math
import os

from jd import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Callable

    Parser = Callable[[str], Any]

COLLECT_LIMIT = "500,1G"
MAX_COLLECTED = 10_000  # files of an attempt; a server takes no more of a job


def text(value: str) -> str:
    """Anything that can be shown on one line."""
    if not value.isprintable() or len(value) > 1000:
        raise ValueError("printable text of at most 1000 characters")
    return value


def any_text(value: str) -> str:
    """Text that may be empty."""
    return value.strip()


def secret(value: str) -> str:
    """A key or token: one word, which no error message repeats."""
    if not value.strip() or len(value.split()) != 1 or not value.isascii():
        raise ValueError("one word of ASCII characters")
    return value.strip()


def boolean(value: str) -> bool:
    """true/false, 1/0, yes/no, on/off."""
    word = value.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("true, false, 1, 0, yes or no")


def whole(low: int, high: int) -> Parser:
    """A parser for whole numbers from `low` to `high`."""
    def parse(value: str) -> int:
        allowed = "a whole number from %d to %d" % (low, high)
        try:
            number = int(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not low <= number <= high:
            raise ValueError(allowed)
        return number
    return parse


def seconds(low: float, high: float = 366 * 86400.0) -> Parser:
    """A parser for durations in seconds, from `low` to `high`."""
    return _number_of("seconds", low, high)


def hours(low: float, high: float) -> Parser:
    """A parser for numbers of hours, from `low` to `high`."""
    return _number_of("hours", low, high)


def _number_of(unit: str, low: float, high: float) -> Parser:
    def parse(value: str) -> float:
        allowed = "a number of %s from %g to %g" % (unit, low, high)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError(allowed)
        return number
    return parse


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(low: float, high: float = 366 * 86400.0) -> Parser:
    """A parser for durations as people write them: 90, 90s, 10m, 1.5h, 2d. Its value is in seconds."""
    def parse(value: str) -> float:
        word = value.strip().lower()
        unit = _UNITS.get(word[-1:])
        try:
            number = float(word if unit is None else word[:-1]) * (unit or 1.0)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError("a time from %g s to %g days, as 90, 10m, 2h or 1d" % (low, high / 86400))
        return number
    return parse


def one_of(*words: str) -> Parser:
    """A parser for one of the given words."""
    def parse(value: str) -> str:
        if value.strip().lower() not in words:
            raise ValueError("one of %s" % ", ".join(words))
        return value.strip().lower()
    return parse


def path(value: str) -> Path:
    """A path; a leading ~ is the home directory. It need not exist."""
    if not value or "\0" in value:
        raise ValueError("a path")
    expanded = os.path.expanduser(value)
    if expanded.startswith("~"):
        raise ValueError("a path without ~: there is no home directory to put in its place")
    from pathlib import Path
    return Path(expanded)


_MODULE = "-m"
_MODULE_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"


def entry(value: str) -> Path:
    """An entry script: a path, or `-m` and the name of a module, which stay one text."""
    given = value.split()
    if not given or given[0] != _MODULE:
        return path(value)
    if len(given) != 2 or not _is_module_name(given[1]):
        raise ValueError("-m and the name of one module, as \"-m package.train\"; its arguments are args=")
    from pathlib import Path
    return Path(" ".join(given))


def module_of(entry_script: Path) -> str:
    """The module that a value of `entry` names; "" where it is a path."""
    head, _, name = str(entry_script).partition(" ")
    return name if head == _MODULE and _is_module_name(name) else ""


def _is_module_name(name: str) -> bool:
    import re
    return re.fullmatch(_MODULE_NAME, name) is not None


SCRIPT = "script"
MAX_PRELOADED = 32


def modules(value: str) -> tuple[str, ...]:
    """Names of modules, separated by commas; `script` is one that stands for others."""
    found = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if len(found) > MAX_PRELOADED or len(value) > 2000 or not all(_is_module_name(name) for name in found):
        raise ValueError("names of at most %d modules, as numpy,torch.nn, and %s for those that the script "
                         "begins with" % (MAX_PRELOADED, SCRIPT))
    return found


def interpreter(value: str) -> str:
    """A Python: a path, or without a slash a name that is looked for in PATH."""
    given = value.strip()
    if not given or "\0" in given:
        raise ValueError("the path of a Python, or its name")
    return str(path(given).absolute()) if os.sep in given else given


def names_path(parse: Parser, value: str) -> bool:
    """Whether the text of a setting with this parser is a path, which may be relative."""
    if parse is entry:
        return not module_of(path(value))
    return parse is path or parse is interpreter and os.sep in value


def words(value: str) -> tuple[str, ...]:
    """Words of a command line, quoted as in a shell."""
    import shlex
    try:
        found = tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError("words quoted as in a shell (%s)" % error) from None
    if not value.isprintable() or len(value) > 20_000:
        raise ValueError("printable words, of at most 20,000 characters together")
    return found


def tags(value: str) -> tuple[str, ...]:
    """Words that say what a worker has, separated by commas."""
    return protocol.check_tags([part.strip() for part in value.split(",") if part.strip()], "")


def job_ids(value: str) -> tuple[int, ...]:
    """Numbers of jobs and ranges of them, separated by commas: `1-64,70`."""
    import re
    found: set[int] = set()
    for part in value.split(","):
        ends = [int(end) if re.fullmatch("[0-9]{1,15}", end.strip(), re.ASCII) else 0
                for end in part.split("-")]
        if len(ends) > 2 or ends[0] < 1 or ends[-1] < ends[0]:
            raise ValueError("numbers of jobs and ranges of them, as 1-64,70")
        if ends[-1] - ends[0] + len(found) >= protocol.MAX_IDS:
            raise ValueError("at most %d jobs" % protocol.MAX_IDS)
        found.update(range(ends[0], ends[-1] + 1))
    return tuple(sorted(found))


def file_patterns(value: str) -> str:
    """Patterns for files in a job's directory, separated by commas: `*.json,ckpt/**`."""
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 100 or len(value) > 4000:
        raise ValueError("at most 100 patterns")
    for part in parts:
        if (part.startswith(("/", "~")) or ".." in part.split("/") or not part.isprintable()
                or part.split("/").count("**") > 4):  # each ** multiplies the ways to match
            raise ValueError("patterns such as *.json,ckpt/** for files inside the job's "
                             "directory, without a leading / or .., and at most four **")
    return value


def gpu_share(value: str) -> str:
    """How many GPUs a worker gets: auto, none, or a number."""
    word = value.strip().lower()
    if word not in ("auto", "none") and not _is_count(word, 1024):
        raise ValueError("auto, none, or a whole number from 1 to 1024")
    return word


def thread_count(value: str) -> str:
    """With how many threads a job calculates: a number, or inherit."""
    word = value.strip().lower()
    if word != "inherit" and not _is_count(word, 4096):
        raise ValueError("inherit, or a whole number from 1 to 4096")
    return word if word == "inherit" else str(int(word))


def _is_count(word: str, most: int) -> bool:
    """Whether a word is a whole number from 1 to `most`."""
    return word.isascii() and word.isdigit() and len(word) <= 9 and 1 <= int(word) <= most


_SIZES = {"k": 1024, "m": 1024 ** 2, "g": 1024 ** 3, "t": 1024 ** 4}
_SIZE = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?:([kmgt])(?:i?b)?|b)?"


def size(low: int, high: int) -> Parser:
    """A parser for sizes as people write them: 500M, 1.5G, 2GiB; 1K is 1024. Its value is in bytes."""
    def parse(value: str) -> int:
        import re
        word = value.strip().lower()
        found = re.fullmatch(_SIZE, word, re.ASCII) if len(word) <= 40 else None
        number = -1 if found is None else int(float(found.group(1)) * _SIZES.get(found.group(2), 1))
        if not low <= number <= high:
            raise ValueError("a size such as 500M, 4G or 1.5T, of at least %dM" % (low // 1024 ** 2))
        return number
    return parse


def collect_limit(value: str) -> tuple[int, int]:
    """How much one attempt may leave to be collected: a number of files, a size, or both with a comma
    between them. Its value is files and bytes."""
    allowed = "a number of files from 1 to %d, a size such as 2G, or both, as %s" % (
        MAX_COLLECTED, COLLECT_LIMIT)
    files, total = 500, 1024 ** 3
    parts = [part.strip() for part in value.split(",")]
    if len(parts) > 2 or len({part.isdigit() for part in parts}) < len(parts):
        raise ValueError(allowed)
    for part in parts:
        try:
            if part.isdigit():
                files = whole(1, MAX_COLLECTED)(part)
            else:
                total = size(1, 1024 ** 5)(part)
        except ValueError:
            raise ValueError(allowed) from None
    return files, total


def path_list(value: str) -> list[Path]:
    """Paths separated as in $PATH."""
    return [path(part) for part in value.split(os.pathsep) if part]


def experiment(value: str) -> str:
    """A name that can be a directory and part of a URL. Its letters become lower case, as published clients
    have it: `Demo` and `demo` are one experiment."""
    return protocol.check_experiment_name(value.strip()).lower()


def user_names(value: str) -> tuple[str, ...]:
    """Users of this machine by name or number, separated by commas."""
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    if not names or len(names) > 100 or not all(
            name.isprintable() and len(name.split()) == 1 and len(name) <= 256 for name in names):
        raise ValueError("names or numbers of users, separated by commas")
    return names


def proxy_list(value: str) -> tuple[Any, ...]:
    """Addresses and networks, separated by commas, as networks of `ipaddress`."""
    import ipaddress
    parts = [part.strip() for part in value.split(",") if part.strip()]
    try:
        found: tuple[Any, ...] = tuple(ipaddress.ip_network(part, strict=False) for part in parts)
    except ValueError:
        found = ()
    if not found or len(found) > 100:
        raise ValueError("an address or a network such as 127.0.0.1, ::1 or 10.0.0.0/8, several separated by "
                         "commas")
    return found


def server_url(value: str) -> str:
    """A URL or a bare host name, which gets http:// (reference, section 2, `server=`)."""
    from urllib.parse import urlsplit
    given = value.strip()
    if given.count(":") > 1 and "/" not in given:
        import ipaddress
        try:
            given = "[%s]" % ipaddress.IPv6Address(given)
        except ValueError:
            pass  # something else, which is judged below
    url = (given if "://" in given else "http://" + given).rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port  # which must be a number
    except ValueError:
        raise ValueError("a host name or URL, e.g. 192.168.1.10 or https://host:8000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("a host name or URL, e.g. 192.168.1.10 or https://host:8000")
    return url


# With one of these in front a path could be the dashboard's own.
_OF_DASHBOARD = ("compare", "curves", "failures", "healthz", "history", "jobs", "results", "settings",
                 "signin", "static", "web", "workers")


def dashboard_url(value: str) -> str:
    """The URL of a dashboard, with a slash at its end if it has a path: addresses are relative to it."""
    import re
    from urllib.parse import urlsplit
    url = server_url(value)
    path = urlsplit(url).path
    if not path:
        return url
    plain = r"(?:/(?!\.{1,2}(?:/|\Z))(?:[0-9A-Za-z._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+)+"
    if len(path) > 400 or not re.fullmatch(plain, path):
        raise ValueError("a URL whose path is like /node/HOST/PORT, of at most 400 characters")
    first = path.split("/")[1]
    if first in _OF_DASHBOARD:
        raise ValueError("a URL whose path does not begin with /%s, an address of the dashboard itself"
                         % first)
    return url + "/"


PUBLISHED = "@"  # in front of the path of a file that holds the server's URL


def server_place(value: str) -> str:
    """A server's URL, or `@path` of a file that holds it; the path becomes absolute."""
    given = value.strip()
    if not given.startswith(PUBLISHED):
        return server_url(given)
    return PUBLISHED + os.path.abspath(str(path(given[len(PUBLISHED):])))


def with_port(server: str, port: int) -> str:
    """A server URL with `port` where it has none (reference, section 2, `port=`).

    A published file says the port itself.
    """
    if server.startswith(PUBLISHED):
        return server
    from urllib.parse import urlsplit, urlunsplit
    parts = urlsplit(server)
    if parts.port is not None:
        return server
    return urlunsplit(parts._replace(netloc="%s:%d" % (parts.netloc.rstrip(":"), port)))
