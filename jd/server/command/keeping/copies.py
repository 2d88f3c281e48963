"""`jd_server backup`, `restore` and `archive`: all of an experiment in one file, and back."""

import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Tuple

from jd.errors import EXIT_OK
from jd.server.command.datacommand import Parser
from jd.server.command.keeping import showing
from jd.server.keeping import archive as archives
from jd.server.keeping import backup as backups
from jd.server.keeping import reading
from jd.server.keeping import restore as restoring
from jd.terminal import plural

_WORDS = ("expId", "workspace_path", "json")


def backup(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server backup`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server backup", "Write a backup of an experiment into FILE, while its server runs or not: jobs, "
        "results, history, uploads, checkpoints, output, and the server's token. jd_server restore makes an "
        "experiment of it again.",
        "FILE holds secrets and is made readable for you alone. It is not overwritten.", _WORDS)
    values, made = _written(parser, argv, environ, "backup", backups.make)
    if values["json"]:
        return EXIT_OK
    if made.gone:
        print("%s had gone from the disk and are not in it: jd_server check tells of those that the database "
              "still has" % plural(made.gone, "file"))
    print("to go back to it: jd_server restore %s" % values["file"])
    return EXIT_OK


def archive(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server archive`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server archive",
        "Write an experiment into FILE, a tar of plain text and of the files of its jobs that can be read "
        "without JobDistributor, while its server runs or not.",
        "README.txt in it says what is where. It has no secrets of the server. FILE is not overwritten.",
        _WORDS)
    values, made = _written(parser, argv, environ, "archive", archives.make)
    if values["json"]:
        return EXIT_OK
    if made.missing:
        print("%s had gone from the disk and are not in it; jobs.jsonl says which" % plural(
            made.missing, "file"))
    print("read it with: tar -xf %s, then %s/README.txt" % (values["file"], values["expId"]))
    return EXIT_OK


def restore(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server restore`, without these two words. Raises JdError."""
    parser = Parser(
        "jd_server restore",
        "Make an experiment out of a backup, as jd_server backup has written it. It must not be there yet: "
        "nothing is overwritten.",
        "Without --expId it is called what it was. All of FILE is verified before anything is in its place.",
        _WORDS, {"expId": " (that of the backup)"})
    values = _values(parser, argv, environ, "the backup", None)
    file = values["file"]
    about = restoring.read_about(file)
    name = values["expId"] or about["experiment"]
    with showing.megabytes(file.stat().st_size, "restore") as told:
        done = restoring.restore(file, values["workspace_path"], name, told)
    if values["json"]:
        showing.emit({"expId": name, "directory": str(done.directory), "made_at": done.made_at,
                      "jobs": done.jobs, "files": done.files, "forgotten": done.forgotten})
        return EXIT_OK
    jobs = ", ".join("%d %s" % (n, status) for status, n in done.jobs.items()) or "no jobs"
    print("restored %s as of %s: %s; %s in %s" % (
        name, showing.when(done.made_at), jobs, plural(done.files, "file"), done.directory))
    if done.forgotten:
        print("%s had gone while the backup was made, and are forgotten" % plural(done.forgotten, "file"))
    if name != done.experiment:
        print("checkpoints are signed for %s: jobs of %s begin without them, unless jd_server checkpoint "
              "trust JOB accepts them" % (done.experiment, name))
    print("start its server: jd_server --expId %s, with --workspace_path and other options as before" % name)
    return EXIT_OK


def _written(parser: Parser, argv: List[str], environ: Mapping[str, str], what: str,
             make: Callable[..., Any]) -> Tuple[Dict[str, Any], Any]:
    """What was typed, and what `make` has written into FILE; the first line, or all of --json, is printed."""
    values = _values(parser, argv, environ, "the file to write")
    place, file = reading.find(values["workspace_path"], values["expId"]), values["file"]
    with showing.megabytes(backups.size(place), what) as told:
        made = make(place, file, time.time(), told)
    if values["json"]:
        showing.emit(dict(made._asdict(), expId=values["expId"], file=str(file)))
    else:
        print("%s of %s: %s, %s, %s in %s" % (
            what, values["expId"], plural(made.jobs, "job"), plural(made.files, "file"),
            showing.size(made.size_bytes), file))
    return values, made


def _values(parser: Parser, argv: List[str], environ: Mapping[str, str], what: str,
            whose: Any = "FILE") -> Dict[str, Any]:
    parser.add_argument("file", metavar="FILE", help=what)
    values = parser.values(argv, environ, whose)
    values["file"] = Path(values["file"]).expanduser().absolute()
    return values
