"""The schema of the job database, as migrations (see `jd.storage.database`)."""

from typing import Tuple

_FIRST = """
CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE jobs (
  id                   INTEGER PRIMARY KEY,
  status               TEXT NOT NULL
                       CHECK (status IN ('PENDING', 'SERVED', 'DONE', 'ABORTED', 'DELETED')),
  parameters           TEXT NOT NULL,               -- JSON object
  attempt              INTEGER NOT NULL DEFAULT 0,  -- number of the latest attempt, 0: none yet
  failures             INTEGER NOT NULL DEFAULT 0,  -- attempts that count against max-attempts
  interruptions        INTEGER NOT NULL DEFAULT 0,  -- preempted or lost attempts
  worker_id            TEXT,                        -- of the latest attempt
  session              TEXT,
  lease                REAL,                        -- seconds, of its batch; NULL: the server's
  retry_pause          REAL,                        -- seconds, likewise
  lease_until          REAL,                        -- while SERVED
  retry_at             REAL,                        -- while ABORTED, if it comes back by itself
  request_timestamp    REAL,                        -- start of the latest attempt
  completion_timestamp REAL,
  last_ping_timestamp  REAL,
  required_time        REAL                         -- seconds the latest finished attempt ran
);
CREATE INDEX jobs_lease ON jobs (lease_until) WHERE status = 'SERVED';
CREATE INDEX jobs_retry ON jobs (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_of_worker ON jobs (worker_id) WHERE status = 'SERVED';

CREATE TABLE job_counts (
  status TEXT PRIMARY KEY,
  n      INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO job_counts VALUES
  ('PENDING', 0), ('SERVED', 0), ('DONE', 0), ('ABORTED', 0), ('DELETED', 0);
CREATE TRIGGER count_new_job AFTER INSERT ON jobs BEGIN
  UPDATE job_counts SET n = n + 1 WHERE status = NEW.status;
END;
CREATE TRIGGER count_moved_job AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
  UPDATE job_counts SET n = n - 1 WHERE status = OLD.status;
  UPDATE job_counts SET n = n + 1 WHERE status = NEW.status;
END;
CREATE TRIGGER count_gone_job AFTER DELETE ON jobs BEGIN
  UPDATE job_counts SET n = n - 1 WHERE status = OLD.status;
END;

CREATE TABLE attempts (
  job_id         INTEGER NOT NULL REFERENCES jobs (id),
  number         INTEGER NOT NULL,
  worker_id      TEXT NOT NULL,
  session        TEXT,
  started_at     REAL NOT NULL,
  ended_at       REAL,
  verdict        TEXT,                              -- NULL while it runs
  message        TEXT,
  exit_code      INTEGER,                           -- negative: a signal
  runtime        REAL,                              -- seconds
  output_tail    TEXT,
  system_metrics TEXT,
  PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

CREATE TABLE job_history (
  id        INTEGER PRIMARY KEY,
  job_id    INTEGER NOT NULL REFERENCES jobs (id),
  timestamp REAL NOT NULL,
  reason    TEXT NOT NULL
);
CREATE INDEX job_history_of ON job_history (job_id, id);

CREATE TABLE loaded_files (
  digest    TEXT PRIMARY KEY,                       -- of the jobs that the file describes
  name      TEXT NOT NULL,
  start_id  INTEGER NOT NULL,
  total     INTEGER NOT NULL,
  loaded_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE workers (
  worker_id       TEXT PRIMARY KEY,
  session         TEXT,
  host            TEXT NOT NULL,
  machine_type    TEXT NOT NULL,
  version         TEXT NOT NULL,
  reported_status TEXT NOT NULL,
  current_job_id  INTEGER,
  desired_state   TEXT NOT NULL DEFAULT 'run',
  desired_version INTEGER NOT NULL DEFAULT 0,
  applied_version INTEGER NOT NULL DEFAULT 0,
  system_metrics  TEXT NOT NULL,
  first_seen      REAL NOT NULL,
  last_seen       REAL NOT NULL,
  left_at         REAL,                             -- NULL while it is active
  left_reason     TEXT
) WITHOUT ROWID;
CREATE INDEX workers_active ON workers (last_seen) WHERE left_at IS NULL;

CREATE TABLE worker_history (
  id        INTEGER PRIMARY KEY,
  worker_id TEXT NOT NULL,
  timestamp REAL NOT NULL,
  event     TEXT NOT NULL,
  source    TEXT NOT NULL                           -- who caused it: worker, server, cli on HOST
);
CREATE INDEX worker_history_of ON worker_history (worker_id, id);

CREATE TABLE files (
  id          INTEGER PRIMARY KEY,
  job_id      INTEGER NOT NULL REFERENCES jobs (id),
  kind        TEXT NOT NULL CHECK (kind IN ('upload', 'checkpoint')),
  name        TEXT NOT NULL,                        -- as the client called it
  version     INTEGER NOT NULL,                     -- 0, 1, ... of that name
  stored_name TEXT NOT NULL COLLATE NOCASE,         -- in data/<job_id>/; some disks fold case
  size_bytes  INTEGER NOT NULL,
  uploaded_at REAL NOT NULL,
  UNIQUE (job_id, stored_name)
);
CREATE INDEX files_by_name ON files (job_id, kind, name, version);
"""

MIGRATIONS: Tuple[str, ...] = (_FIRST,)
