"""`jd_hub serve`: the running Hub, and what it says."""

import asyncio
import logging
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import jd
from jd.auth import secretfile, sharedtoken
from jd.errors import EXIT_OK
from jd.files import filesystems
from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.routes import signup_url
from jd.hub.store import accounts
from jd.net.addresses import is_loopback, url_of
from jd.net.serving import turns
from jd.net.serving.process import Voice, allow_many_connections, stop_on_signals, warning
from jd.net.serving.proxies import Proxies
from jd.net.serving.tls import server_context
from jd.terminal import paint


def run(values: Dict[str, Any]) -> int:
    """Serve until SIGINT or SIGTERM. Raises JdError if another Hub has the data or the port."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    tls = server_context(values["tls_cert"], values["tls_key"])
    allow_many_connections()
    data = HubData(values["data"])
    try:
        data.claim()
        _warn(data, values)
        return turns.run(_serve(data, values, tls))
    finally:
        data.close()


def _warn(data: HubData, values: Mapping[str, Any]) -> None:
    key = values["tls_key"]
    encrypted = key is not None or (values["base_url"] or "").startswith("https://")
    if not is_loopback(values["host"]) and not encrypted:
        warning("--host %s takes API keys from other machines unencrypted; give --tls-cert and "
                "--tls-key, or put a TLS proxy in front of it and give --base-url https://…"
                % values["host"])
    if key is not None and sharedtoken.is_exposed(key):
        warning("other users can read the key %s; chmod 600 it" % key)
    if data.exposed():
        warning("others can look into %s, where secrets are kept; chmod 700 it" % data.directory)
    if filesystems.is_network(data.directory):
        warning("%s is on a network file system: slower, and locks may fail; a local --data is better"
                % data.directory)


async def _serve(data: HubData, values: Mapping[str, Any],
                 tls: Optional[ssl.SSLContext]) -> int:
    stop = asyncio.Event()
    stop_on_signals(stop)
    hub = Hub(data, tls=tls, proxies=Proxies(values["trusted_proxy"]))
    say = Announcer(values["json"])
    await hub.start(values["host"], values["port"])
    try:
        url = values["base_url"] or url_of(values["host"], hub.port, tls is not None)
        data.publish({"hub_url": url, "pid": os.getpid(), "host": socket.gethostname(),
                      "version": jd.__version__})
        say.ready(url, data)
        secretfile.forget(data.signup_file)  # of an earlier start
        if not await data.read(accounts.has_admin):
            token = await data.write(lambda db, now: accounts.make_link(db, None, now))
            say.signup(signup_url(url, token),
                       data.signup_file)
        await stop.wait()
        say.stopping()
    finally:
        await hub.stop()
    return EXIT_OK


class Announcer(Voice):
    """What the Hub says on stdout."""

    def ready(self, url: str, data: HubData) -> None:
        """It listens."""
        if self.as_json:
            self.event("ready", {"hub_url": url, "pid": os.getpid()})
            return
        self.line(paint("jd_hub " + jd.__version__, "bold"))
        self.line("  hub      %s" % url)
        self.line("  data     %s" % data.directory)

    def signup(self, url: str, kept: Path) -> None:
        """There is no administrator yet."""
        if not self.shows_secrets:
            secretfile.keep(kept, url)
        if self.as_json:
            self.event("signup", {"signup_file": str(kept)})
            return
        self.line("  sign up  %s" % (url if self.shows_secrets else "in %s" % kept))
        self.line("           the administrator's link: works once, for 7 days")

    def stopping(self) -> None:
        """A signal came."""
        if self.as_json:
            self.event("stopping", {})
        else:
            self.line("stopping")
