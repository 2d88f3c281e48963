"""A registry as published clients write it: without the identity of processes."""

import sqlite3
import time
from pathlib import Path
from typing import Optional

LEGACY_TABLES = """
CREATE TABLE workers (
  worker_id TEXT PRIMARY KEY, exp_id TEXT NOT NULL, pid INTEGER NOT NULL,
  process_id INTEGER NOT NULL, runner_id TEXT NOT NULL DEFAULT '', entry_script TEXT NOT NULL,
  machine_type TEXT NOT NULL, log_path TEXT NOT NULL, started_at REAL NOT NULL,
  status TEXT NOT NULL DEFAULT 'idle', current_job_id INTEGER, last_ping_at REAL,
  config_json TEXT NOT NULL DEFAULT '{}', worker_token TEXT NOT NULL DEFAULT '',
  token_updated_at REAL
);
CREATE TABLE experiment_meta (exp_id TEXT PRIMARY KEY, drained INTEGER NOT NULL DEFAULT 0);
"""


def legacy_file(path: Path, host: str = "host", pid: int = 4001,
                started_at: Optional[float] = None) -> None:
    """Two workers of `host`: `<host>_Ab3xY9_0` with `pid`, busy, and `<host>_egg_1` with the next."""
    began = time.time() if started_at is None else started_at
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(str(path))
    db.executescript(LEGACY_TABLES)
    insert = ("INSERT INTO workers (worker_id, exp_id, pid, process_id, entry_script, machine_type,"
              " log_path, started_at, status, current_job_id, config_json)"
              " VALUES (?, 'exp', ?, ?, 'train.py', 'worker', '', ?, ?, ?, ?)")
    db.execute(insert, ("%s_Ab3xY9_0" % host, pid, 0, began, "busy", 7,
                        '{"entry_script": "train.py"}'))
    db.execute(insert, ("%s_egg_1" % host, pid + 1, 1, began, "idle", None, ""))
    db.commit()
    db.close()
