"""Settings of the running server, its traffic, its backup."""

import asyncio
import os
import secrets
import sqlite3
import time
from pathlib import Path
from typing import Any, BinaryIO, Dict, Optional

import jd
from jd.net.serving.routing import HttpError, Request, Response, Router
from jd.net.serving.traffic import Flow
from jd.server.dashboard.live import Live
from jd.server.experiment import Experiment
from jd.server.store.operators import endrule, options, wrongpins
from jd.storage import backup
from jd.storage.database import Database


class Operations:
    """Settings and operations of one experiment."""

    def __init__(self, experiment: Experiment, traffic: Flow, live: Live) -> None:
        self._experiment = experiment
        self._traffic = traffic
        self._live = live
        self._started = time.monotonic()
        self._since = experiment.clock()
        self._copying = False

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/settings", self._settings)
        router.add("POST", "/web/settings", self._change)
        router.add("GET", "/web/backup", self._backup)

    async def _settings(self, _request: Request) -> Response:
        database = self._experiment.database
        size = await asyncio.get_running_loop().run_in_executor(None, database.size)
        traffic: Dict[str, Any] = {"since": self._since}
        for port, flow in self._traffic().items():
            traffic[port] = {"requests": flow.answers, "bytes_in": flow.bytes_in,
                             "bytes_out": flow.bytes_out, "connections": flow.connections}
        return Response.json(dict(
            self._experiment.policy._asdict(), traffic=traffic, rule=await self._rule(),
            database={"path": str(database.path), "size_bytes": size,
                      "journal_mode": database.journal_mode},
            data_bytes=None,
            wrong_pins={name: None if found is None else found.to_json() for name, found in (
                ("since", await self._experiment.look_up(wrongpins.since)),
                ("before", await self._experiment.look_up(wrongpins.before)))},
            viewers=self._live.viewers, uptime=time.monotonic() - self._started, version=jd.__version__))

    async def _rule(self) -> Optional[Dict[str, Any]]:
        """How far the sweep is by the rule that ends it; None where there is none."""
        policy, now = self._experiment.policy, self._experiment.clock()
        if not endrule.is_set(policy):
            return None

        def look(db: sqlite3.Connection) -> Dict[str, Any]:
            return dict(endrule.standing(db, policy, now)._asdict(),
                        has_ended_by=endrule.has_ended_by(db, policy))
        return await self._experiment.read(look)

    async def _change(self, request: Request) -> Response:
        values = options.checked(await request.json_object())
        await self._experiment.write(lambda t: options.save(t, values))
        return Response.json(dict(self._experiment.policy._asdict(), success=True))

    async def _backup(self, _request: Request) -> Response:
        if self._copying:
            raise HttpError(503, "a backup is being made already; try again when it is done",
                            {"Retry-After": "10"})
        experiment = self._experiment
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(experiment.clock()))
        self._copying = True
        copying = asyncio.get_running_loop().run_in_executor(
            None, copy_of, experiment.database, experiment.meta_dir)
        copying.add_done_callback(self._copied)
        try:
            file = await asyncio.shield(copying)
        except asyncio.CancelledError:
            copying.add_done_callback(_unwanted)
            raise
        return Response.attachment(file, "%s-%s.db" % (experiment.name, stamp))

    def _copied(self, _copying: "asyncio.Future[BinaryIO]") -> None:
        self._copying = False


def _unwanted(copying: "asyncio.Future[BinaryIO]") -> None:
    """The browser went away before the copy was made."""
    if not copying.cancelled() and copying.exception() is None:
        copying.result().close()


def copy_of(database: Database, directory: Path) -> BinaryIO:
    """A consistent copy of the database as an open file without a name: it is gone when it is closed.

    It takes as much room in `directory` meanwhile. Raises StorageError. Not for the loop.
    """
    path = directory / ("%s%s" % (backup.DRAFT, secrets.token_hex(8)))
    backup.write(database, path)
    try:
        return open(path, "rb")
    finally:
        os.unlink(path)
