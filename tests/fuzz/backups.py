"""Backups that somebody restores. `jd/server/keeping`."""

import functools
import io
import json
import os
from pathlib import Path
from typing import Dict

from jd.errors import JdError
from jd.server.keeping import backup, restore, tarfiles
from tests.fuzz.files_of_ours import Scratch, changed
from tests.fuzz.material import Source
from tests.fuzz.properties import Property, outcome, refused
from tests.server.store_support import Desk

_ABOUT = {"experiment": "demo", "made_at": 1.7e9, "jobs": {"PENDING": 2}, "schema": 1, "format": 1}


@functools.lru_cache(maxsize=None)
def _database() -> bytes:
    with Scratch() as place:
        desk = Desk(place)
        desk.create(2)
        desk.database.close()
        return (place / "jobs.db").read_bytes()


def _packed(members: Dict[str, bytes], to: Path) -> bytes:
    with tarfiles.writing(to, "", 1.7e9) as packer:
        for name, content in members.items():
            packer.add_bytes(name, content, 1.7e9)
    return to.read_bytes()


def make_backup(source: Source) -> bytes:
    """A backup, whole or not, of which some members are none of ours."""
    members = {backup.ABOUT: json.dumps(_ABOUT).encode(), backup.DATABASE: _database(), backup.GONE: b"[]"}
    if source.chance(0.4):
        members[backup.ABOUT] = changed(source, _ABOUT)
    if source.chance(0.3):
        members[backup.GONE] = source.one(
            b"[1, 2]", b"5", b"[%s]" % source.number().encode(), source.nested().encode(), b"{}", b"[null]"
        )
    if source.chance(0.2):
        members[backup.DATABASE] = source.damaged_bytes(members[backup.DATABASE])
    for _ in range(source.few(3)):
        name = source.one("data/1/a", "data/1/../../x", "meta/token", "meta/.x", "data/.output/1/1/0", "../x")
        if source.chance(0.2):
            name = "data/1/" + source.text(3)
        members[name] = source.text(3).encode("utf-8", "replace")
    with Scratch() as place:
        data = _packed(members, place / "b.tar")
    return source.maybe_bytes(data, 0.3)


def check_backup(data: bytes) -> None:
    """An experiment, or an error that names the file, and nothing."""
    with Scratch() as place:
        file = place / "b.tar"
        file.write_bytes(data)
        found = outcome(lambda: restore.restore(file, place / "to", "demo"), JdError)
        assert sorted(os.listdir(str(place))) in (["b.tar"], ["b.tar", "to"])
        made = sorted(os.listdir(str(place / "to"))) if (place / "to").exists() else []
        assert made == ([] if refused(found) else ["demo"]), made
        assert not refused(found) or str(file) in found[2], found


def _known(name: str, content: bytes) -> bytes:
    with Scratch() as place:
        members = {backup.ABOUT: json.dumps(_ABOUT).encode(), backup.DATABASE: b"", backup.GONE: b"[]"}
        return _packed(dict(members, **{name: content}), place / "b.tar")


PROPERTIES = (
    Property(
        "backup",
        make_backup,
        check_backup,
        (
            b"",
            io.BytesIO(b"\0" * 10240).getvalue(),
            _known(backup.ABOUT, b"[" * 50_000),
            _known(backup.GONE, b"[" * 50_000),
            _known("data/1/a\0b", b""),
        ),
        weight=2,
    ),
)
