"""The tables of a registry, which published clients use as well, and how a file of any age gets them.

Both open the same file, so a table has every column that a published client writes (1.15 to 1.29), and each
of ours has a default: they name the columns that they write. Tables and indexes of theirs that ours have no
use for they make themselves.
"""

from __future__ import annotations

import sqlite3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import AbstractSet

_WORKERS = """CREATE TABLE IF NOT EXISTS workers (
  worker_id    TEXT PRIMARY KEY,
  exp_id       TEXT NOT NULL,
  pid          INTEGER NOT NULL,
  process_id   INTEGER NOT NULL,
  entry_script TEXT NOT NULL,
  started_at   REAL NOT NULL
)"""
_META = "CREATE TABLE IF NOT EXISTS experiment_meta (exp_id TEXT PRIMARY KEY)"
_TEXT = "TEXT NOT NULL DEFAULT ''"
_COLUMNS: tuple[tuple[str, str, str], ...] = (
    # Published clients write these, and cannot start a worker where `runner_id` is missing.
    ("workers", "runner_id", _TEXT),
    ("workers", "machine_type", "TEXT NOT NULL DEFAULT 'worker'"),
    ("workers", "log_path", _TEXT),
    ("workers", "status", "TEXT NOT NULL DEFAULT 'idle'"),
    ("workers", "current_job_id", "INTEGER"),
    ("workers", "last_ping_at", "REAL"),
    ("workers", "config_json", "TEXT NOT NULL DEFAULT '{}'"),
    ("workers", "worker_token", _TEXT),
    ("workers", "token_updated_at", "REAL"),
    ("experiment_meta", "drained", "INTEGER NOT NULL DEFAULT 0"),
    # These are ours.
    ("workers", "host", _TEXT),
    ("workers", "boot_id", _TEXT),
    ("workers", "start_time", _TEXT),
    ("workers", "pid_namespace", _TEXT),
    ("workers", "session", _TEXT),
    ("workers", "paused_because", _TEXT),
    ("workers", "drains", "INTEGER NOT NULL DEFAULT 0"),
    ("experiment_meta", "drains", "INTEGER NOT NULL DEFAULT 0"),
)
# How often the experiment was told to drain, whoever tells it: a worker is meant by those after its start.
_COUNT_DRAINS = ("CREATE TRIGGER IF NOT EXISTS drains_counted AFTER UPDATE OF drained ON experiment_meta"
                 " WHEN NEW.drained <> 0 BEGIN"
                 " UPDATE experiment_meta SET drains = drains + 1 WHERE exp_id = NEW.exp_id; END")
# The newest `PRAGMA user_version` that this program can use. Published clients, and ours until now, leave it
# at 0: columns are added without raising it. What this version could only spoil will have another number.
FORMAT = 0
# Which instance words published clients up to 1.23 may not take.
WORDS = "possible_instances_name"


def columns_of(db: sqlite3.Connection, table: str = "workers") -> AbstractSet[str]:
    """The names of a table's columns; empty where there is no such table."""
    return {values[1] for values in db.execute("PRAGMA table_info(%s)" % table)}


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date, whoever made them, or make them."""
    there = {table: columns_of(db, table) for table in ("workers", "experiment_meta")}
    missing = [(table, name, kind) for table, name, kind in _COLUMNS if name not in there[table]]
    if not missing:
        return
    for statement in (_WORKERS, _META):
        db.execute(statement)
    for table, name, kind in missing:
        db.execute("ALTER TABLE %s ADD COLUMN %s %s" % (table, name, kind))
    db.execute(_COUNT_DRAINS)
