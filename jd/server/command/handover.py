"""`--jobs` beside a server of the same data that runs: the jobs are handed to that server.

It is found by what it has published beside the data, and asked with the owner's rights: those of this user on
its machine, the token of its access file, or a worker token of its Hub.
"""

import os
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import jd
from jd import protocol as p
from jd import settings
from jd.auth import hubtoken, servertoken, sharedtoken
from jd.errors import JdError, UsageError
from jd.fields import take, take_id, take_whole
from jd.net.client import Client
from jd.net.finding import accessfile, published
from jd.net.serving.process import Voice, warning
from jd.server.command import owncert
from jd.server.command.announcer import say_loaded
from jd.server.command.loading import JobsFile
from jd.server.creation import createrequest
from jd.server.hubside import ownhub
from jd.server.store import direct
from jd.server.store.operators.batches import Created, Existing
from jd.storage import serverlock
from jd.terminal import paint

PATIENCE = 3600.0  # seconds for the answer: a million jobs take minutes on a slow disk

# What says which server is meant, what to hand over, and how to tell of it. Nothing else is of use here.
_OF_USE = frozenset(("expId", "workspace_path", "jobs", "json", "hub", "with-hub", "hub-data", "token-file"))


def owner_of(values: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """What the server says of itself that serves the data now; None where none does, or it is not ready.

    Raises JdError, also for data that others could have written.
    """
    meta = values["workspace_path"] / values["expId"] / "meta"
    owner = serverlock.holder(meta, "server")
    if not owner:
        return None
    direct.find(values["workspace_path"], values["expId"])
    return owner


def hand_over(values: Mapping[str, Any], owner: Mapping[str, Any], loading: Sequence[JobsFile]) -> None:
    """Have the server create what is new of the jobs files, and tell of it. Raises JdError."""
    client = _client(values, owner)
    if p.EXT_UNIQUE not in (client.anonymous().call("GET", p.HEALTH) or {}).get("extensions", ()):
        raise JdError("the server of %s, pid %s at %s, is of a version that cannot be handed jobs"
                      % (values["expId"], owner.get("pid"), client.shown),
                      "stop it, and start this one in its place")
    voice = Voice(values["json"])
    if voice.as_json:
        voice.event("running", {"server_url": owner.get("server_url"), "pid": owner.get("pid")})
    else:
        voice.line("%s  experiment %s" % (paint("jd_server " + jd.__version__, "bold"), values["expId"]))
        voice.line("  server     %s runs already (pid %s): it takes the jobs" % (
            owner.get("server_url"), owner.get("pid")))
    unused = ["--" + name for name in values["given"] if name not in _OF_USE]
    if unused:
        warning("%s: not used, since the server that runs keeps its own settings" % ", ".join(unused))
    for path, _, batch in loading:
        assert batch is not None
        body = createrequest.body_of(batch, path.name[:p.MAX_NAME_CHARS])
        if len(body) > createrequest.MAX_BODY:
            raise UsageError("jobs file %s makes a request of %d MB, and a server that runs takes %d MB" % (
                path, len(body) >> 20, createrequest.MAX_BODY >> 20),
                "stop it, and start this one in its place")
        answer = client.call("POST", p.CREATE_JOBS, body, timeout=PATIENCE)
        say_loaded(voice, path.name, batch.total, _created(answer, batch.total))


def _created(answer: Any, total: int) -> Created:
    existing = Existing(take_whole(answer, "existing", 0, total) or 0,
                        take_whole(answer, "deleted", 0, total) or 0, range(total))
    return Created(take_id(answer, "start_id", 0), total - existing.total, take(answer, "action", str),
                   existing)


def _client(values: Mapping[str, Any], owner: Mapping[str, Any]) -> Client:
    """A client with the owner's rights. Raises JdError."""
    name = values["expId"]
    if owner.get("hub_url") is not None:
        grant = hubtoken.request(hubtoken.Access(owner["hub_url"], _key(values, owner["hub_url"])), name)
        return Client(grant.server, lambda: grant.token, experiment=name)
    place = accessfile.find(name)
    if place is not None and (place.seat.pid, place.host) == (owner.get("pid"), owner.get("host")):
        found = published.of_access(accessfile.path_of(name), place)
        return Client(found.url, lambda: found.token, experiment=name, certificate=found.certificate)
    meta = values["workspace_path"] / name / "meta"
    token = _token(values["token_file"], meta / servertoken.FILE)
    certificate = meta / owncert.CERTIFICATE
    return Client(owner.get("server_url", ""), lambda: token, experiment=name,
                  certificate=owncert.text(certificate) if certificate.is_file() else None)


def _token(given: Optional[Path], own: Path) -> Optional[str]:
    if given is None and not os.path.lexists(str(own)):
        return None
    return sharedtoken.read_token_file(own if given is None else given)


def _key(values: Mapping[str, Any], hub: str) -> str:
    key = settings.value_of(settings.WORKER, "api_key", os.environ)
    if key is None and values["with_hub"]:
        key = ownhub.kept_key(values["hub_data"])
    if key is None:
        raise UsageError("the server of %s runs already, and lets in who has a token of the Hub %s" % (
            values["expId"], hub), "set JD_API_KEY to the owner's key, to hand the jobs to it")
    return str(key)
