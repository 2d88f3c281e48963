"""The first two migrations of the job database: the queue, and what the dashboard shows of it (`schema`)."""

FIRST = """
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

# The dashboard: what it sorts and searches by, what it shows of workers, who is signed in.
DASHBOARD = """
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;  -- higher is served first
ALTER TABLE jobs ADD COLUMN results TEXT;       -- JSON object: numbers of result.json, metrics.json
ALTER TABLE jobs ADD COLUMN deleted_from TEXT;  -- the status that RESTORE brings back
CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE status = 'PENDING';
-- A new job is in none of these, so that making a million of them costs no more for them.
CREATE INDEX jobs_by_start ON jobs (request_timestamp, id) WHERE request_timestamp IS NOT NULL;
CREATE INDEX jobs_by_end ON jobs (completion_timestamp, id) WHERE completion_timestamp IS NOT NULL;
CREATE INDEX jobs_by_runtime ON jobs (required_time, id) WHERE required_time IS NOT NULL;
CREATE INDEX jobs_by_attempt ON jobs (attempt, id) WHERE attempt <> 0;
CREATE INDEX jobs_by_priority ON jobs (priority, id) WHERE priority <> 0;
DROP INDEX jobs_of_worker;
CREATE INDEX jobs_of_worker ON jobs (worker_id, id) WHERE worker_id IS NOT NULL;
CREATE INDEX jobs_held ON jobs (worker_id) WHERE status = 'SERVED';
-- For each row it cost as much as the row; what adds jobs counts them (see `operators.batches.add`).
DROP TRIGGER count_new_job;

-- Parameters and results by value, so that jobs can be sorted by them (see `search.values`).
CREATE TABLE value_names (
  id   INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('parameter', 'result')),
  name TEXT NOT NULL,
  UNIQUE (kind, name)
);
CREATE TABLE job_values (
  name_id INTEGER NOT NULL REFERENCES value_names (id),
  value   NOT NULL,                             -- number or text; no affinity, so numbers come first
  job_id  INTEGER NOT NULL,
  PRIMARY KEY (name_id, value, job_id)
) WITHOUT ROWID;

-- Ended attempts by time (see `pages.completions`).
CREATE TABLE completions (
  unit    TEXT NOT NULL CHECK (unit IN ('minute', 'hour', 'day')),
  start   INTEGER NOT NULL,                     -- Unix seconds
  host    TEXT NOT NULL,                        -- '': all hosts
  verdict TEXT NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (unit, start, host, verdict)
) WITHOUT ROWID;

ALTER TABLE workers ADD COLUMN instance TEXT NOT NULL DEFAULT '';
ALTER TABLE workers ADD COLUMN slot INTEGER;
ALTER TABLE workers ADD COLUMN previous_state TEXT;   -- desired before the pending command
ALTER TABLE workers ADD COLUMN requested_at REAL;     -- the latest command
ALTER TABLE workers ADD COLUMN requested_by TEXT;
ALTER TABLE workers ADD COLUMN acknowledged_at REAL;  -- when the worker said that it has it
ALTER TABLE workers ADD COLUMN done_at REAL;          -- when it took effect
ALTER TABLE workers ADD COLUMN jobs_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN jobs_failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN failures_in_row INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workers ADD COLUMN failing_since REAL;    -- first failure of that row
ALTER TABLE workers ADD COLUMN failing INTEGER NOT NULL DEFAULT 0;  -- marked (see `fleet.failing`)
CREATE INDEX workers_by_host ON workers (host, worker_id);

-- The latest samples of each worker, as a ring of minutes.
CREATE TABLE worker_metrics (
  worker_id TEXT NOT NULL,
  place     INTEGER NOT NULL,                   -- minutes of the Unix time, modulo the ring's size
  timestamp REAL NOT NULL,
  metrics   TEXT NOT NULL,                      -- JSON object of numbers
  PRIMARY KEY (worker_id, place)
) WITHOUT ROWID;

CREATE TABLE sessions (
  digest     TEXT PRIMARY KEY,                  -- of the cookie's secret
  expires_at REAL NOT NULL
) WITHOUT ROWID;

-- One number for each thing that pages show; it grows when that thing changes.
CREATE TABLE changes (
  topic TEXT PRIMARY KEY,
  n     INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO changes VALUES ('jobs', 0), ('output', 0), ('files', 0), ('workers', 0), ('settings', 0);
CREATE TRIGGER changed_job AFTER UPDATE OF status, parameters, priority, results ON jobs BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
END;
CREATE TRIGGER changed_output AFTER UPDATE OF output_tail, system_metrics ON attempts BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'output';
END;
CREATE TRIGGER changed_files AFTER INSERT ON files BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'files';
END;
CREATE TRIGGER new_worker AFTER INSERT ON workers BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'workers';
END;
CREATE TRIGGER changed_worker AFTER UPDATE ON workers WHEN
  (OLD.reported_status, OLD.current_job_id, OLD.desired_version, OLD.applied_version, OLD.left_at,
   OLD.failing, OLD.done_at, OLD.session) IS NOT
  (NEW.reported_status, NEW.current_job_id, NEW.desired_version, NEW.applied_version, NEW.left_at,
   NEW.failing, NEW.done_at, NEW.session) BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'workers';
END;

-- The numbers of a job's result.json and metrics.json, each as last uploaded (see `files.results`).
CREATE TABLE result_files (
  id      INTEGER PRIMARY KEY,                  -- where both have a name, the later one counts
  job_id  INTEGER NOT NULL REFERENCES jobs (id),
  name    TEXT NOT NULL,
  numbers TEXT NOT NULL,                        -- JSON object
  UNIQUE (job_id, name)
);

ALTER TABLE workers ADD COLUMN last_done_at REAL;     -- when a job of it was last DONE
CREATE INDEX workers_by_success ON workers (last_done_at) WHERE last_done_at IS NOT NULL;
CREATE INDEX workers_by_name ON workers (left_at, host, instance, slot);
CREATE INDEX workers_suspect ON workers (failures_in_row) WHERE failures_in_row > 0 AND failing = 0;

-- Jobs that are there already have no values yet (see `search.missing`).
INSERT INTO settings (name, value)
  SELECT 'values_missing', '0 ' || id FROM jobs ORDER BY id DESC LIMIT 1;
"""

# Workers whose time is limited: what a job needs, how long jobs take (see `queue.timeleft`).
