"""Which code the attempts of jobs ran, and whether the jobs of a sweep mix several versions of it.

Two codes are of one version where they differ only in where script and interpreter lie. A job is of the
version that its latest attempt ran.
"""

import functools
import hashlib
import json
import sqlite3
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from jd import messages
from jd import protocol as p
from jd.server.store.queue.jobs import CHANGED
from jd.server.store.transaction import Transaction

# The newest that are kept: a sweep with more is one whose script changes with each job, or whose guests make
# them up. One that is still run is told, and kept, again.
MAX_CODES = 1000
MAX_VERSIONS = 20  # that are compared, the newest
MAX_COUNTED = 10_000  # jobs of one version
MAX_DIFFERENCES = 8
_VERSION_CHARS = 8

# What makes a version, and what people call it.
_WORDS = {"hash": "the script", "snapshot": "the snapshot", "commit": "the commit",
          "changed": "uncommitted changes", "version": "the interpreter"}


class Version(NamedTuple):
    """A version of the code, and how many jobs are of it: MAX_COUNTED + 1 stands for more than that."""

    code: str
    jobs: int


class Mix(NamedTuple):
    """The versions that the jobs of a sweep are of, the newest first, and what they differ in."""

    versions: Tuple[Version, ...]
    differ_in: Tuple[str, ...]

    def to_json(self) -> Dict[str, Any]:
        """For pages and programs."""
        return {"versions": [version._asdict() for version in self.versions],
                "differ_in": list(self.differ_in), "most_counted": MAX_COUNTED}


class Known(NamedTuple):
    """A code that is kept: its number, and the version that it is of."""

    id: int
    version: str


def known(t: Transaction, code: messages.Code) -> Known:
    """This code, which is kept from now on."""
    digest, text = _written(code)
    row = t.db.execute("SELECT id, version FROM codes WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        (count,) = t.db.execute("SELECT count(*) FROM codes").fetchone()
        if count >= MAX_CODES:
            t.db.execute("DELETE FROM codes WHERE id = (SELECT min(id) FROM codes)")
        version = version_of(json.loads(text))
        t.db.execute("INSERT INTO codes (digest, version, document) VALUES (?, ?, ?)",
                     (digest, version, text))
        row = t.db.execute("SELECT id, version FROM codes WHERE digest = ?", (digest,)).fetchone()
    return Known(*row)


@functools.lru_cache(maxsize=128)
def _written(code: messages.Code) -> Tuple[str, str]:
    """The digest of a code, and its JSON; every job of a sweep tells the same."""
    text = json.dumps(code.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), text


def ran(t: Transaction, job_id: int, number: int, code: messages.Code) -> None:
    """An attempt runs this code."""
    row = known(t, code)
    t.db.execute("UPDATE attempts SET code_id = ? WHERE job_id = ? AND number = ? AND code_id IS NOT ?",
                 (row[0], job_id, number, row[0]))
    if t.db.execute("UPDATE jobs SET code = ?, %s WHERE id = ? AND attempt = ? AND code IS NOT ?" % CHANGED,
                    (row[1], job_id, number, row[1])).rowcount:
        t.happened.jobs_changed = True


def version_of(document: Mapping[str, Any]) -> str:
    """The short name of the version that a code is of."""
    text = json.dumps(_facts(document), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_CHARS]


def _facts(document: Mapping[str, Any]) -> Dict[str, Any]:
    """What makes a version, of a code; what is not known is left out."""
    facts = {name: document[name] for name in _WORDS if document.get(name) is not None}
    if document.get("clean") is False:
        facts["changed"] = True
    facts.update(("package " + name, version)
                 for name, version in (document.get("distributions") or {}).items())
    return facts


def mix(db: sqlite3.Connection) -> Optional[Mix]:
    """The versions that jobs are of, where they are of several that differ in something that is known of
    both; DELETED jobs do not count."""
    rows = db.execute("SELECT version, max(document) FROM codes GROUP BY version ORDER BY max(id) DESC"
                      " LIMIT ?", (MAX_VERSIONS,)).fetchall()
    if len(rows) < 2:
        return None
    found: List[Tuple[Version, Dict[str, Any]]] = []
    for version, document in rows:
        (jobs,) = db.execute("SELECT count(*) FROM (SELECT 1 FROM jobs INDEXED BY jobs_by_code"
                             " WHERE code = ? AND status <> ? LIMIT ?)",
                             (version, p.DELETED, MAX_COUNTED + 1)).fetchone()
        if jobs:
            found.append((Version(version, jobs), _facts(json.loads(document))))
    differences = _differences([facts for _, facts in found])
    if len(found) < 2 or not differences:
        return None
    return Mix(tuple(version for version, _ in found), differences)


def _differences(versions: List[Dict[str, Any]]) -> Tuple[str, ...]:
    """What some versions differ in, in words."""
    names = dict.fromkeys([*_WORDS, *sorted({name for facts in versions for name in facts})])
    words = []
    for name in names:
        known = {facts[name] for facts in versions if name in facts}
        if name == "changed":
            known = {facts.get(name, False) for facts in versions if "commit" in facts}
        if len(known) > 1:
            words.append(_WORDS.get(name) or name[len("package "):])
    left = len(words) - MAX_DIFFERENCES
    return (*words[:MAX_DIFFERENCES], "%d more" % left) if left > 0 else tuple(words)


def matching(db: sqlite3.Connection, text: str) -> List[str]:
    """The versions whose name, commit or hash of the script or snapshot begins with a text."""
    start = text.lower()
    found = []
    for version, document in db.execute("SELECT version, document FROM codes ORDER BY id"):
        facts = json.loads(document)
        if start and any(str(name or "").startswith(start) for name in (
                version, facts.get("commit"), facts.get("hash"), facts.get("snapshot"))):
            found.append(version)
    return list(dict.fromkeys(found))


def of_attempt(document: Optional[str], version: Optional[str]) -> Optional[Dict[str, Any]]:
    """The code of an attempt as a page shows it: its row of `codes`, with `code` for the version."""
    return None if document is None else dict(json.loads(document), code=version)
