"""`jd_server`: puts a server together as its options say, and runs it."""

import asyncio
import logging
import os
import socket
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from jd import settings
from jd.auth import servertoken, sharedtoken
from jd.errors import EXIT_OK, UsageError, run_command
from jd.files import filesystems, safedirs
from jd.net.addresses import is_loopback, path_of, url_of
from jd.net.client import Client
from jd.net.serving import tasks, turns
from jd.net.serving.process import allow_many_connections, stop_on_signals, warning
from jd.net.serving.proxies import Proxies
from jd.net.serving.tls import server_context
from jd.server import dashboardpin
from jd.server.api.access import Access, check_exclusive, users
from jd.server.app import JobServer
from jd.server.command import (
    checkpointcommand,
    commandline,
    handover,
    loading,
    owncert,
    pincommand,
    pinsource,
    publishing,
    tunnel,
)
from jd.server.command.accessfile import AccessFile, names, numbers, urls_of
from jd.server.command.announcer import Announcer
from jd.server.command.keeping import checking, copies, listing, removing
from jd.server.command.loading import JobsFile, Loading
from jd.server.experiment import Experiment
from jd.server.hubside.hublink import TIMEOUT, HubLink, Intervals
from jd.server.hubside.ownhub import Facts, OwnHub
from jd.server.store.policy import Policy
from jd.server.store.queue import lease
from jd.storage import filemodes

_SUB_COMMANDS: Dict[str, Callable[[List[str], Mapping[str, str]], int]] = {
    "pin": pincommand.main, "checkpoint": checkpointcommand.main, "list": listing.main,
    "check": checking.main, "backup": copies.backup, "restore": copies.restore, "archive": copies.archive,
    "remove": removing.main}


def entry() -> int:
    """The console script."""
    return run_command(main)


def main(argv: List[str], intervals: Intervals = Intervals()) -> int:
    """Run the server until SIGINT or SIGTERM, or until its Hub ends the experiment."""
    if argv and argv[0] in _SUB_COMMANDS:
        return _SUB_COMMANDS[argv[0]](argv[1:], os.environ)
    values = commandline.parse(argv, os.environ)
    for text in settings.service_links(settings.SERVER, os.environ):
        warning(text)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    allow_many_connections()
    tls = _tls(values)
    link = _link(values, intervals)
    values["pin"] = pinsource.given(values)
    kept = filemodes.PRIVATE if values["data_group"] is None else filemodes.for_group(values["data_group"])
    files = loading.begin(values["jobs"] or [])
    running = handover.owner_of(values) if files else None
    if running is not None:
        handover.hand_over(values, running, loading.read(files))
        return EXIT_OK
    with ExitStack() as closing:
        hub = None
        if values["with_hub"]:
            hub = OwnHub(values["hub_data"])
            closing.callback(hub.close)
        judge = hub if hub is not None else link
        access = Access(values["host"], values["token_file"], values["insecure"],
                        None if judge is None else judge.verify,
                        allowed=users(values["allow_user"] or ()),
                        proxied=values["public_url"] is not None)
        metrics_file = values["metrics_token_file"]
        metrics_token = None if metrics_file is None else sharedtoken.read_token_file(metrics_file)
        policy = Policy(values["idle_timeout"], values["aborted_job_reset_timeout"],
                        values["max_attempts"], pause_failing=values["pause_failing"],
                        pause_broken=values["pause_broken"], stop_when=values["stop_when"] or "",
                        max_jobs=values["max_jobs"] or 0, max_hours=values["max_hours"] or 0.0)
        experiment = Experiment(values["workspace_path"], values["expId"], policy,
                                fixed=values["fixed"], kept=kept, anew=values["begin_anew"])
        closing.callback(experiment.close)
        access_file = AccessFile(experiment, warning)
        values["token"] = access.settle(lambda: servertoken.kept(experiment.meta_dir / servertoken.FILE),
                                        access_file.shown)
        access_file.tidy()
        if values["tls"] is not None:
            tls = _own_tls(values, experiment)

        async def serve() -> int:
            # Made in the loop: before Python 3.10 what asyncio offers belongs to a loop.
            server = JobServer(experiment, access, tls, metrics_token, Proxies(values["trusted_proxy"]),
                               path_of(values["public_dashboard_url"] or ""))
            if hub is None:
                return await _serve(server, link, None, files, values, access_file)
            async with hub.running(values, tls, _memory(values), warning,
                                   intervals) as (own, facts):
                return await _serve(server, own, facts, files, values, access_file)

        if link is not None:
            link.connect()
        return turns.run(serve(), experiment.database.give_way)


def _tls(values: Mapping[str, Any]) -> Optional[ssl.SSLContext]:
    """What to listen with, as far as it is given. Raises UsageError, also for what excludes --tls auto."""
    if values["tls"] is not None:
        if values["tls_cert"] is not None or values["tls_key"] is not None:
            raise UsageError("--tls auto makes a certificate, and --tls-cert and --tls-key give one: "
                             "leave one or the other out")
        if values["hub"] is not None or values["with_hub"]:
            raise UsageError("--tls auto is for a server without a Hub, whose access file holds the "
                             "certificate",
                             "with a Hub give --tls-cert and --tls-key")
    return server_context(values["tls_cert"], values["tls_key"])


def _own_tls(values: Dict[str, Any], experiment: Experiment) -> Optional[ssl.SSLContext]:
    """The same for --tls auto; the files that it made stand in `values` then."""
    values["tls_cert"], values["tls_key"] = owncert.kept(experiment.meta_dir, names() + numbers())
    values["certificate"] = owncert.text(values["tls_cert"])
    return server_context(values["tls_cert"], values["tls_key"])


def _link(values: Dict[str, Any], intervals: Intervals) -> Optional[HubLink]:
    """The link to the Hub that --hub asks for. Raises UsageError."""
    if values["with_hub"] and values["hub"] is not None:
        raise UsageError("--hub and --with-hub exclude each other: the first names another Hub, the "
                         "second runs one")
    if values["with_hub"]:
        return None
    if values["hub"] is None:
        if values["create"]:
            raise UsageError("--create is for a Hub: give --hub URL with it")
        return None
    check_exclusive(values["token_file"], values["insecure"])
    # Never a flag: every user of a machine sees the arguments of every process.
    key = settings.value_of(settings.WORKER, "api_key", os.environ)
    if key is None:
        raise UsageError("--hub needs an API key of yours: set JD_API_KEY in the environment "
                         "(jd_hub key create, or the Hub's web page, makes one)")
    return HubLink(Client(values["hub"], lambda: str(key), TIMEOUT), values["expId"],
                   _memory(values), warning, values["create"], intervals)


def _memory(values: Dict[str, Any]) -> Path:
    """Where the link to a Hub keeps what it was told."""
    path: Path = values["workspace_path"] / values["expId"] / "meta" / "hub.json"
    return path


def _warn(experiment: Experiment, values: Dict[str, Any], link: Optional[HubLink]) -> None:
    """Say on stderr what works and is still not wise."""
    token_file = values["token_file"]
    if token_file is not None and sharedtoken.is_exposed(token_file):
        warning("other users can read the token file %s; chmod 600 it" % token_file)
    if values["metrics_token_file"] is not None and sharedtoken.is_exposed(values["metrics_token_file"]):
        warning("other users can read the token file %s; chmod 600 it" % values["metrics_token_file"])
    if values["pin_file"] is not None and sharedtoken.is_exposed(values["pin_file"]):
        warning("other users can read the PIN file %s; chmod 600 it" % values["pin_file"])
    if values["insecure"] and token_file is None and not is_loopback(values["host"]):
        warning("--insecure: anybody who reaches this address can read and change the jobs")
    if values["tls_key"] is not None and sharedtoken.is_exposed(values["tls_key"]):
        warning("other users can read the key %s; chmod 600 it" % values["tls_key"])
    if (link is not None and not values["with_hub"] and values["public_url"] is None
            and is_loopback(values["host"]) and not link.is_local):
        warning("the Hub tells workers to come to %s, which only this machine reaches; give --host "
                "0.0.0.0 or --public-url" % values["host"])
    if (values["publish_url"] is not None and values["public_url"] is None
            and is_loopback(values["host"])):
        warning("--publish-url: only this machine reaches %s; give --host 0.0.0.0 or --public-url"
                % values["host"])
    for directory in experiment.exposed:
        warning("others may look into %s, which belongs to %s: let them chmod 700 it" % (
            directory, safedirs.owner(os.stat(str(directory)).st_uid)))
    if filesystems.is_network(experiment.meta_dir):
        warning("%s is on a network file system: slower, and locks may fail; a local "
                "--workspace_path is better" % experiment.meta_dir)


async def _serve(server: JobServer, link: Optional[HubLink], own_hub: Optional[Facts],
                 files: List[JobsFile], values: Dict[str, Any], access_file: AccessFile) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    reasons: List[str] = []
    published: Optional[str] = None
    rest: "Optional[asyncio.Task[None]]" = None  # of the jobs, which are loaded while the server serves

    def gone(reason: str) -> None:
        reasons.append(reason)
        loop.call_soon_threadsafe(stop.set)

    stop_on_signals(stop)
    say = Announcer(values["json"], server.experiment)
    jobs = Loading(server, files, say)
    await jobs.expect()
    await server.start(values["host"], values["port"], values["dashboard_port"], values["other_ports"])
    try:
        urls = server_urls(server, values)
        server.dashboard_url = urls[1]
        if link is not None:
            await loop.run_in_executor(None, link.announce, *urls)
            server.signin.hub_url = own_hub.url if own_hub is not None else link.shown
            server.owner = link.owner
            link.start(gone, dashboardpin.HubPin(server.experiment, warning))
        made = await loop.run_in_executor(None, dashboardpin.settle, server.experiment, values["pin"],
                                          say.shows_secrets)
        say.ready(urls, server.signin.hub_url, made, _moved(server, values), _ssh(server, values))
        if own_hub is not None:
            say.own_hub(own_hub)
        _warn(server.experiment, values, link)
        if server.experiment.policy.lease < lease.UNTOLD:
            server.say_untold()
        if jobs.is_short:
            await jobs.run()  # so that who waits for the access file finds them there
        if values["publish_url"] is not None:
            token_file = values["token_file"]
            if token_file is None and values["token"] is not None:
                token_file = server.experiment.meta_dir / servertoken.FILE
            await loop.run_in_executor(None, publishing.publish, values["publish_url"], urls[0], token_file)
            published = urls[0]
        await loop.run_in_executor(None, lambda: access_file.publish(
            urls_of(values["host"], server.port, values["tls_cert"] is not None, values["public_url"]),
            values["token"], values.get("certificate"), server.signin.hub_url))
        if not jobs.is_short:
            rest = loop.create_task(jobs.run())
            await _until(stop, rest)
        await stop.wait()
        say.stopping(reasons[0] if reasons else None)
    finally:
        await server.creation.stop()  # before its tasks, so that none clears up for long
        await tasks.end([rest])
        access_file.withdraw()
        if published is not None:
            publishing.withdraw(values["publish_url"], published)
        if link is not None:
            link.stop()
        await server.stop()
    return EXIT_OK


async def _until(stop: asyncio.Event, loading: "asyncio.Task[None]") -> None:
    """Wait until the server is to stop, or jobs cannot be loaded, which raises as `Loading.run`."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([stopping, loading], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            await loading
            await stopping
    finally:
        await tasks.end([stopping])


def server_urls(server: JobServer, values: Dict[str, Any]) -> Tuple[str, str]:
    """Where others reach the API and the dashboard of a server that listens."""
    secure = values["tls_cert"] is not None
    return (values["public_url"] or url_of(values["host"], server.port, secure),
            values["public_dashboard_url"] or url_of(values["host"], server.dashboard_port, secure))


def _ssh(server: JobServer, values: Dict[str, Any]) -> Optional[str]:
    """The command that brings the dashboard to a laptop; None where a proxy shows it, or none is needed."""
    if values["public_dashboard_url"] is not None:
        return None
    return tunnel.command(values["host"], server.dashboard_port, socket.gethostname(), os.environ)


def _moved(server: JobServer, values: Dict[str, Any]) -> Dict[str, int]:
    """The default ports, by name, that were taken, so that the next free ones are used."""
    return {name: values[key] for name, key, now in (
        ("server", "port", server.port), ("dashboard", "dashboard_port", server.dashboard_port))
        if values[key] not in (0, now)}
