"""What may come next on a command line: the words that the shells and interactive mode offer.

It answers while somebody waits: it reads registries as they are, cleans up nothing, and asks no
server. Whatever cannot be read is offered no words for.
"""

from __future__ import annotations

import os

from jd.cli.catalog import (
    ALIASES,
    COMMANDS,
    COMPLETION,
    RUN,
    SHELL_ALIASES,
    SHELL_COMMANDS,
    Command,
    words_of,
)
from jd.errors import JdError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, Mapping, Sequence

# The hidden command of the completion scripts: `completion words <words up to the cursor>`.
WORDS = "words"
_EXPERIMENT = "expId"
_WORKER = "<worker-id>"
_JOBS_FILE = "<file>"
# Which files by their endings, besides directories; "" ends all.
_PATHS: dict[str, tuple[str, ...]] = {
    "entry_script": (".py", ".sh"), "log_dir": (), "python": ("",), "csv": (".csv",), "dest": ()}
_MOST_FILES = 1000


def candidates(words: Sequence[str], environ: Mapping[str, str] = os.environ,
               inside: bool = False) -> list[str]:
    """What the last of `words` can become. `inside` adds what only interactive mode has.

    One that ends in `=` or `/` goes on, any other is a whole word.
    """
    if not words:
        return []
    before, current = words[:-1], words[-1]
    try:
        return sorted({word for word in _possible(before, current, environ, inside)
                       if word.startswith(current) and word.isprintable()})
    except (JdError, OSError):
        return []


def _possible(before: Sequence[str], current: str, environ: Mapping[str, str],
              inside: bool) -> Iterable[str]:
    commands: dict[str, Command] = {**COMMANDS, **SHELL_COMMANDS} if inside else COMMANDS
    aliases = {**ALIASES, **SHELL_ALIASES} if inside else ALIASES
    given = {key: value for key, separator, value in (w.partition("=") for w in before) if separator}
    bare = [aliases.get(word, word) for word in before if "=" not in word]
    command = next((commands[word] for word in bare if word in commands), None)
    experiment = (given.get(_EXPERIMENT) or environ.get("JD_EXP_ID") or "").strip().lower() or None
    key, separator, value = current.partition("=")
    if separator:
        if command is not None and key not in command.keys:
            return []
        return ("%s=%s" % (key, word) for word in _values(key, value, experiment, environ))
    if command is None:
        names = [c.name for c in commands.values() if set(given) <= set(c.keys)]
        keys = [k for k in COMMANDS[RUN].keys if set(given) <= set(COMMANDS[RUN].keys)]
        return names + ["%s=" % k for k in keys + [_EXPERIMENT] if k not in given]
    if command.name == "use":
        return _experiments(environ)
    keys = ["%s=" % key for key in command.keys if key not in given and "<" not in key]
    return keys + (list(_words(command, current, experiment, environ, commands)) if len(bare) == 1 else [])


def _values(key: str, value: str, experiment: str | None,
            environ: Mapping[str, str]) -> Iterable[str]:
    if key == _EXPERIMENT:
        return _experiments(environ)
    if key in _PATHS:
        return _files(value, _PATHS[key], environ)
    if key == "job":
        return [str(job) for _, job in _workers(experiment, environ) if job is not None]
    try:
        return words_of(key)
    except KeyError:
        return ()


def _words(command: Command, current: str, experiment: str | None, environ: Mapping[str, str],
           commands: Mapping[str, Command]) -> Iterator[str]:
    for word in command.words.strip("[]").split("|"):
        if word == _WORKER:
            yield from (worker_id for worker_id, _ in _workers(experiment, environ))
        elif word == _JOBS_FILE:
            yield from _files(current, (".json", ".csv", ".tsv", ".tab"), environ)
        elif word == "<command>":
            yield from commands
        elif word and "<" not in word:
            yield word


def _experiments(environ: Mapping[str, str]) -> list[str]:
    from jd.worker.local.caches import experiments
    return experiments(environ)


def _workers(experiment: str | None,
             environ: Mapping[str, str]) -> list[tuple[str, int | None]]:
    """Ids and current jobs."""
    from jd.worker.local.registry import Registry
    if experiment is None or experiment not in _experiments(environ):
        return []
    return [(row.worker_id, row.current_job_id)
            for row in Registry(experiment, environ).rows(configs=False)]


def _files(value: str, endings: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[str]:
    """Directories, with a slash, and files with such an ending, as they go on from `value`."""
    head, _, tail = value.rpartition("/")
    start = head + "/" if "/" in value else ""
    directory = start
    if start.startswith("~/"):
        directory = os.path.join(environ.get("HOME", "~"), start[2:])
    with os.scandir(directory or ".") as entries:
        for _, entry in zip(range(_MOST_FILES), entries):
            if entry.name.startswith(".") and not tail.startswith("."):
                continue
            if entry.is_dir():
                yield start + entry.name + "/"
            elif entry.name.endswith(endings):
                yield start + entry.name


def answer(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """What the completion scripts read: one candidate a line."""
    return "".join(word + "\n" for word in candidates(words, environ))


def asked(argv: Sequence[str]) -> bool:
    """Whether a command line is the question of a completion script."""
    return list(argv[:2]) == [COMPLETION, WORDS]
