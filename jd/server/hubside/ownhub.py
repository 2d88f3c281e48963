"""`jd_server --with-hub`: a Hub in the server's own process, for a small group.

Its data is that of `jd_hub serve`, so a group that grows starts the Hub by itself and goes on.
There is one administrator with one API key, made at the first start and kept beside the data.
"""

import asyncio
import os
import sqlite3
import ssl
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Dict, NamedTuple, Optional, Tuple

from jd.auth import jwt, secretfile
from jd.errors import StorageError
from jd.files import plainfile
from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.routes import signup_url
from jd.hub.store import accounts
from jd.net.addresses import is_loopback, url_of
from jd.net.client import Client
from jd.net.serving.proxies import Proxies
from jd.server.hubside.hublink import TIMEOUT, HubLink, Intervals

ADMIN = "admin@localhost.localdomain"
KEY_NAME = "jd_server --with-hub"
KEY_FILE = "admin.key"
_MAX_KEY_BYTES = 4096


class Facts(NamedTuple):
    """What people need to use the Hub. `signup` is None once the administrator has a password;
    `signup_file` is where it may be kept."""

    url: str
    key: str
    key_file: Path
    signup: Optional[str]
    signup_file: Path


class OwnHub:
    """The Hub of one `jd_server` process. Raises JdError if another Hub has its data."""

    def __init__(self, directory: Path) -> None:
        self._data = HubData(directory)
        self._link: Optional[HubLink] = None
        try:
            self._data.claim()
        except BaseException:
            self._data.close()
            raise

    def close(self) -> None:
        """Let go of the data."""
        self._data.close()

    def verify(self, token: str) -> jwt.WorkerClaims:
        """As HubLink.verify."""
        if self._link is None:
            raise RuntimeError("verify before the Hub runs")
        return self._link.verify(token)

    @asynccontextmanager
    async def running(self, values: Dict[str, Any], tls: Optional[ssl.SSLContext], memory: Path,
                      warn: Callable[[str], None],
                      intervals: Intervals) -> AsyncIterator[Tuple[HubLink, Facts]]:
        """The Hub listens inside this block; gives the server's link to it. Raises JdError."""
        hub = Hub(self._data, tls=tls, proxies=Proxies(values["trusted_proxy"]))
        await hub.start(values["host"], values["hub_port"])
        try:
            url = url_of(values["host"], hub.port, tls is not None)
            self._data.publish({"hub_url": url, "pid": os.getpid()})
            facts = await self._facts(url)
            # A certificate is for the public name; without one, loopback needs no name at all.
            own = url if tls is not None else "http://%s:%d" % (
                values["host"] if is_loopback(values["host"]) else "127.0.0.1", hub.port)
            link = HubLink(Client(own, lambda: facts.key, TIMEOUT), values["expId"], memory, warn,
                           True, intervals)
            # In a thread: the Hub that answers is in this very loop.
            await asyncio.get_running_loop().run_in_executor(None, link.connect)
            self._link = link
            yield link, facts
        finally:
            await hub.stop()

    async def _knows(self, key: str) -> bool:
        return await self._data.read(lambda db: accounts.caller(db, key)) is not None

    async def _facts(self, url: str) -> Facts:
        key_file = self._data.directory / KEY_FILE
        key = _kept_key(key_file)
        if key is None or not await self._knows(key):
            key = await self._data.write(_new_key)
            secretfile.keep(key_file, key)
        user = await self._data.read(lambda db: accounts.find_user(db, ADMIN))
        signup = None
        if not user.signed_up:
            token = await self._data.write(lambda db, now: accounts.make_link(db, user.id, now))
            signup = signup_url(url, token)
        else:
            secretfile.forget(self._data.signup_file)
        return Facts(url, key, key_file, signup, self._data.signup_file)


def worker_command(facts: Facts, key: str, experiment: str) -> str:
    """What a user types on any machine to work for the experiment; `key` as a shell takes it."""
    return "JD_API_KEY=%s JD_HUB_URL=%s jd_worker_cli expId=%s entry_script=train.py" % (
        key, facts.url, experiment)


def _new_key(db: sqlite3.Connection, now: float) -> str:
    try:
        accounts.find_user(db, ADMIN)
    except accounts.NoSuchUser:
        accounts.add_user(db, ADMIN, True, "jd_server", now)
    return accounts.create_key(db, ADMIN, KEY_NAME, "jd_server", now)[1]


def kept_key(directory: Path) -> Optional[str]:
    """The administrator's key, where the Hub keeps its data. Raises StorageError."""
    return _kept_key(directory / KEY_FILE)


def _kept_key(path: Path) -> Optional[str]:
    try:
        return plainfile.read(path, _MAX_KEY_BYTES).decode("ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (path, error.strerror),
                           "check its owner and mode") from error
