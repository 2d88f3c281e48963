"""`jd_server checkpoint trust`: signs the checkpoint that a job would go on from, whoever made it.

It is for those who may write the data of an experiment, whether its server runs or not. A checkpoint is a
program: signing it says that it may run as the owner of the workers.
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Mapping, NamedTuple, Optional

from jd import settings, settingvalues
from jd.auth import checkpointkey, hubtoken, servertoken, sharedtoken
from jd.errors import EXIT_OK, JdError, StorageError, UsageError
from jd.files import plainfile
from jd.net.serving.process import warning
from jd.protocol import DIRECTORY, MAX_FILE_BYTES
from jd.script import signature
from jd.script.signature import Signer
from jd.server.command.datacommand import Parser
from jd.server.store import direct
from jd.server.store.files import files
from jd.server.store.queue import jobs
from jd.storage.serverlock import ServerLock

_WORDS = ("expId", "workspace_path", "token-file", "hub", "json")
_CHUNK = 256 * 1024
_MAX_FACTS = 16 * 1024 * 1024  # bytes of what is kept of a Hub
_KINDS = {DIRECTORY: "directory"}


class Trusted(NamedTuple):
    """What became of one checkpoint; `signed` is False if it was before."""

    filename: str
    kind: str
    size_bytes: int
    signed: bool


def main(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server checkpoint …`, without these two words. Raises JdError."""
    values = options(argv, environ)
    database = direct.find(values["workspace_path"], values["expId"])
    keys = _keys(values, database.parent, environ)
    data_dir = database.parent.parent / "data"
    try:
        found = direct.write(
            database, lambda t: files.newest_checkpoints(t.db, data_dir, values["job"]))
    except jobs.NoSuchJob as error:
        raise JdError("%s: %s" % (values["expId"], error)) from None
    if not found:
        raise JdError("job %d of %s has no checkpoint" % (values["job"], values["expId"]))
    done = [_trust(database, data_dir, checkpoint, keys, values) for checkpoint in found]
    _report(values, done)
    return EXIT_OK


def _keys(values: Dict[str, Any], meta_dir: Path, environ: Mapping[str, str]) -> List[str]:
    """All that the owner's workers may have. Raises JdError where the server's token or Hub is not known."""
    keys = []
    if values["token_file"] is not None:
        keys.append(checkpointkey.of_token(sharedtoken.read_token_file(values["token_file"])))
    own_token = meta_dir / servertoken.FILE
    if own_token.exists():
        keys.append(checkpointkey.of_token(sharedtoken.read_token_file(own_token)))
    running = ServerLock(meta_dir, "server").owner()
    hub = values["hub"] or (running.get("hub_url") if running else _last_hub(meta_dir))
    api_key = settings.value_of(settings.WORKER, "api_key", environ)
    if hub is not None and api_key is not None:
        keys += _of_hub(hubtoken.Access(str(hub), api_key), values["expId"])
    elif hub is not None and (running or not keys):
        raise UsageError("%s is of the Hub %s, which gives the owner's key: set JD_API_KEY to one of yours"
                         % (values["expId"], hub))
    elif hub is not None:
        warning("the data was served with the Hub %s as well: set JD_API_KEY to sign for its workers too"
                % hub)
    if not keys:
        raise UsageError("the token of the server is not known: give --token-file FILE as the server has "
                         "it, or --hub URL and JD_API_KEY",
                         "a server without either makes a token when it starts")
    return checkpointkey.to_sign(keys, environ)


def _of_hub(hub: hubtoken.Access, experiment: str) -> List[str]:
    given = hubtoken.request_patiently(hub, experiment).checkpoint_key
    return ([] if given is None else [given]) + [checkpointkey.of_api_key(hub.key)]


def _last_hub(meta_dir: Path) -> Optional[str]:
    """The Hub that the data was served with, if it ever was."""
    try:
        told = json.loads(plainfile.read(meta_dir / "hub.json", _MAX_FACTS).decode("utf-8")).get("hub_url")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return told if isinstance(told, str) else None


def _trust(database: Path, data_dir: Path, checkpoint: files.Checkpoint, keys: List[str],
           values: Dict[str, Any]) -> Trusted:
    signer = Signer(keys, values["expId"], values["job"])
    kind = _KINDS.get(checkpoint.kind, "object")
    incoming = files.Incoming(data_dir)
    try:
        with open(str(checkpoint.path), "rb") as source:
            status = os.fstat(source.fileno())
            trailer = signature.read(source)
            if trailer is not None and trailer.claim == signer.claim and all(
                    signature.fits(source, trailer, [key]) for key in keys):
                return Trusted(checkpoint.path.name, kind, status.st_size, False)
            body = status.st_size if trailer is None else trailer.body
            if body + signer.size > MAX_FILE_BYTES:
                raise JdError("%s would have more than %d MB with a signature"
                              % (checkpoint.path.name, MAX_FILE_BYTES >> 20),
                              "start workers with %s=%s instead" % (signature.VARIABLE, signature.UNSIGNED))
            _copy(source, body, signer, incoming)
        _as_before(incoming.path, status)
        stored = direct.write(database, lambda t: files.replace(t, checkpoint, incoming))
        return Trusted(stored, kind, incoming.size, True)
    except files.NoSuchFile as error:
        raise JdError(str(error), "try again") from None
    except OSError as error:
        raise StorageError("%s cannot be signed: %s" % (checkpoint.path, error.strerror or error)) from error
    finally:
        incoming.discard()


def _copy(source: BinaryIO, body: int, signer: Signer, incoming: files.Incoming) -> None:
    def take(data: bytes) -> None:
        signer.update(data)
        incoming.write(data)

    signature.pass_through(source, body, take)
    incoming.write(signer.trailer())
    incoming.settle()


def _as_before(path: Path, status: os.stat_result) -> None:
    """Give a file the mode and, where root does it for the server's user, the owner of another."""
    if os.geteuid() == 0:
        os.chown(str(path), status.st_uid, status.st_gid)
    os.chmod(str(path), status.st_mode & 0o777)


def _report(values: Dict[str, Any], done: List[Trusted]) -> None:
    if values["json"]:
        print(json.dumps({"expId": values["expId"], "job_id": values["job"],
                          "checkpoints": [one._asdict() for one in done]}))
        return
    for one in done:
        print("%s of job %d (%s, %d bytes) %s" % (
            one.filename, values["job"], one.kind, one.size_bytes,
            "is signed now: workers of its owner go on from it" if one.signed else "was signed already"))


def options(argv: List[str], environ: Mapping[str, str]) -> Dict[str, Any]:
    """What to do and where. Raises UsageError."""
    parser = Parser(
        "jd_server checkpoint",
        "Sign the newest checkpoints of a job, an object and a directory, as a worker of yours "
        "would have. A checkpoint is a program: whoever made it runs it as you.",
        "Works while the server runs or not. With a Hub JD_API_KEY has to be set.", _WORDS)
    parser.add_argument("action", choices=("trust",), help="trust: sign, so that workers go on from it")
    parser.add_argument("job", metavar="JOB", help="number of the job")
    values = parser.values(argv, environ, "the job")
    try:
        values["job"] = settingvalues.whole(1, 2 ** 53 - 1)(values["job"])
    except ValueError as error:
        raise UsageError("JOB: %r is not allowed" % values["job"][:40], "give %s" % error) from None
    return values
