"""`jd_hub serve`: the running Hub, and what it says."""

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from typing import Any, Dict, Mapping, Optional

import jd
from jd import filesystems
from jd.auth import shared
from jd.errors import EXIT_OK
from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.routes import signup_url
from jd.hub.store import accounts
from jd.net.addresses import is_loopback, url_of
from jd.net.tls import server_context
from jd.terminal import paint, silence_stdout


def run(values: Dict[str, Any]) -> int:
    """Serve until SIGINT or SIGTERM. Raises JdError if another Hub has the data or the port."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    tls = server_context(values["tls_cert"], values["tls_key"])
    _allow_many_connections()
    data = HubData(values["data"])
    try:
        data.claim()
        _warn(data, values)
        return asyncio.run(_serve(data, values, tls))
    finally:
        data.close()


def _allow_many_connections() -> None:
    """A cluster starts its workers in the same second; the usual soft limit is 1,024 files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # macOS: a hard limit of infinity is not what it takes


def _warn(data: HubData, values: Mapping[str, Any]) -> None:
    key = values["tls_key"]
    encrypted = key is not None or (values["base_url"] or "").startswith("https://")
    if not is_loopback(values["host"]) and not encrypted:
        print("warning: --host %s takes API keys from other machines unencrypted; give --tls-cert and "
              "--tls-key, or put a TLS proxy in front of it and give --base-url https://…" % values["host"], file=sys.stderr)
    if key is not None and shared.is_exposed(key):
        print("warning: other users can read the key %s; chmod 600 it" % key, file=sys.stderr)
    if data.exposed():
        print("warning: others can look into %s, where secrets are kept; chmod 700 it"
              % data.directory, file=sys.stderr)
    if filesystems.is_network(data.directory):
        print("warning: %s is on a network file system: slower, and locks may fail; a local --data "
              "is better" % data.directory, file=sys.stderr)


async def _serve(data: HubData, values: Mapping[str, Any],
                 tls: Optional[ssl.SSLContext]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup and its like have SIGHUP ignored, and mean it.
        if signal.getsignal(number) == signal.SIG_IGN and number == signal.SIGHUP:
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    hub = Hub(data, tls=tls)
    say = Announcer(values["json"])
    await hub.start(values["host"], values["port"])
    try:
        url = values["base_url"] or url_of(values["host"], hub.port, tls is not None)
        data.publish({"hub_url": url, "pid": os.getpid(), "host": socket.gethostname(),
                      "version": jd.__version__})
        say.ready(url, data)
        if not await data.read(accounts.has_admin):
            say.signup(signup_url(url, await data.write(accounts.make_link, None, data.clock())))
        await stop.wait()
        say.stopping()
    finally:
        await hub.stop()
    return EXIT_OK


class Announcer:
    """What the Hub says on stdout: lines for people, or one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def ready(self, url: str, data: HubData) -> None:
        """It listens."""
        if self._as_json:
            self._event("ready", {"hub_url": url, "pid": os.getpid()})
            return
        self._say(paint("jd_hub " + jd.__version__, "bold"))
        self._say("  hub      %s" % url)
        self._say("  data     %s" % data.directory)

    def signup(self, url: str) -> None:
        """There is no administrator yet."""
        if self._as_json:
            self._event("signup", {"signup_url": url})
            return
        self._say("  sign up  %s" % url)
        self._say("           the administrator's link: works once, for 7 days")

    def stopping(self) -> None:
        """A signal came."""
        if self._as_json:
            self._event("stopping", {})
        else:
            self._say("stopping")

    def _event(self, event: str, facts: Mapping[str, Any]) -> None:
        self._say(json.dumps(dict({"event": event}, **facts)))

    @staticmethod
    def _say(line: str) -> None:
        try:
            print(line, flush=True)
        except OSError:
            silence_stdout()  # nobody reads any more; the Hub goes on
