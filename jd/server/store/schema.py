"""The schema of the job database, as migrations (see `jd.storage.database`)."""

from typing import Tuple

from jd.server.store.firstschema import DASHBOARD, FIRST

_TIME = """
ALTER TABLE jobs ADD COLUMN min_time REAL;      -- seconds, of its batch; NULL: not said
CREATE INDEX jobs_needing ON jobs (min_time, priority DESC, id)
  WHERE status = 'PENDING' AND min_time IS NOT NULL;
CREATE TABLE runtimes (
  n       INTEGER PRIMARY KEY,                  -- the order in which jobs were done
  seconds REAL NOT NULL
);
CREATE INDEX runtimes_by_length ON runtimes (seconds);
"""

# Whose workers they are, of the users of a Hub: NULL without one.
_USERS = """
ALTER TABLE workers ADD COLUMN hub_user TEXT;
ALTER TABLE attempts ADD COLUMN hub_user TEXT;
"""

# Who signed in: NULL for who came from elsewhere, so those from before, which do not say, end.
_SIGNED_IN = """
DELETE FROM sessions;
ALTER TABLE sessions ADD COLUMN uid INTEGER;
"""

# What a deleted job was and what took its place, which was one text: "PENDING 12".
_REPLACED = """
ALTER TABLE jobs ADD COLUMN replaced_by INTEGER;  -- the first id of the batch that took its place
UPDATE jobs SET deleted_from = substr(deleted_from, 1, instr(deleted_from, ' ') - 1),
                replaced_by = CAST(substr(deleted_from, instr(deleted_from, ' ') + 1) AS INTEGER)
  WHERE instr(deleted_from, ' ') > 0;
-- Before there was a dashboard, jobs were deleted only where others took their place.
UPDATE jobs SET deleted_from = 'PENDING' WHERE status = 'DELETED' AND deleted_from IS NULL;
"""

# What a batch says of its jobs: how long a script may run, how often it is tried.
_LIMITS = """
ALTER TABLE jobs ADD COLUMN timeout REAL;          -- seconds, of its batch; NULL: none
ALTER TABLE jobs ADD COLUMN max_attempts INTEGER;  -- of its batch; NULL: the server's
ALTER TABLE jobs ADD COLUMN ends_by REAL;          -- while SERVED, if it has a timeout (see `queue.overrun`)
CREATE INDEX jobs_overrun ON jobs (ends_by) WHERE ends_by IS NOT NULL;
-- What was put first stays before what can be created now.
UPDATE jobs SET priority = 1000 WHERE priority = 1;
"""

# What jobs need of a worker, each list once (see `queue.needs`).
_NEEDS = """
CREATE TABLE needs (
  id   INTEGER PRIMARY KEY,
  tags TEXT NOT NULL UNIQUE,                    -- JSON list, sorted
  size INTEGER NOT NULL                         -- tags in it
);
CREATE TABLE needed_tags (
  tag      TEXT NOT NULL,
  needs_id INTEGER NOT NULL REFERENCES needs (id),
  PRIMARY KEY (tag, needs_id)
) WITHOUT ROWID;
ALTER TABLE workers ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';  -- JSON list, beside machine_type
ALTER TABLE jobs ADD COLUMN needs_id INTEGER;     -- of its batch; NULL: nothing
-- The queue has a head for each list, so that a claim finds the jobs that its worker can run.
DROP INDEX jobs_queue;
CREATE INDEX jobs_queue ON jobs (needs_id, priority DESC, id) WHERE status = 'PENDING';
DROP INDEX jobs_needing;
CREATE INDEX jobs_needing ON jobs (needs_id, min_time, priority DESC, id)
  WHERE status = 'PENDING' AND min_time IS NOT NULL;
"""

# Until when a job that came back after a failure waits for another worker (see `queue.elsewhere`).
_ELSEWHERE = """
ALTER TABLE jobs ADD COLUMN elsewhere_until REAL;
CREATE INDEX jobs_elsewhere ON jobs (elsewhere_until) WHERE elsewhere_until IS NOT NULL;
"""

# Where an upload lay in its job's directory, if not directly in it; NULL of those whose client did not say.
_PATHS = """
ALTER TABLE files ADD COLUMN path TEXT;
ALTER TABLE files ADD COLUMN path_version INTEGER NOT NULL DEFAULT 0;  -- 0, 1, ... of that path
CREATE INDEX files_by_path ON files (job_id, path, path_version) WHERE path IS NOT NULL;
"""

# Of which attempt a file is, and which attempts no longer count since their job began from scratch.
_SCRATCH = """
ALTER TABLE files ADD COLUMN attempt INTEGER;     -- that uploaded it; NULL: not known
UPDATE files SET attempt = (SELECT max(number) FROM attempts a
                            WHERE a.job_id = files.job_id AND a.started_at <= files.uploaded_at);
ALTER TABLE jobs ADD COLUMN scratch INTEGER NOT NULL DEFAULT 0;  -- the last that does not count; 0: all do
"""

# Jobs by their parameters; filled when somebody asks for it (see `operators.digests`).
_DIGESTS = """
CREATE TABLE job_digests (
  digest INTEGER NOT NULL,                      -- of the parameters
  job_id INTEGER NOT NULL,
  PRIMARY KEY (digest, job_id)
) WITHOUT ROWID;
"""

# How the scripts of a batch get their parameters (see `worker.attempt.calling.flags`).
_FLAGS = """
ALTER TABLE jobs ADD COLUMN flags TEXT;         -- of its batch; NULL: as the worker's launch says
"""

# Which code attempts ran, each once (see `queue.codes`); `jobs.code` is the version that the latest one ran.
_CODES = """
CREATE TABLE codes (
  id       INTEGER PRIMARY KEY,
  digest   TEXT NOT NULL UNIQUE,
  version  TEXT NOT NULL,                       -- eight hexadecimal digits; of several codes that differ
                                                -- only in where they lie
  document TEXT NOT NULL                        -- JSON object, as workers send it
);
ALTER TABLE attempts ADD COLUMN code_id INTEGER;
ALTER TABLE jobs ADD COLUMN code TEXT;
CREATE INDEX jobs_by_code ON jobs (code, id, status) WHERE code IS NOT NULL;
CREATE TRIGGER changed_code AFTER UPDATE OF code ON jobs WHEN NEW.code IS NOT OLD.code BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
END;
"""

# Results that are no numbers to calculate with; what is one is in job_values (see `search.values`).
_NOT_FINITE = """
CREATE TABLE results_not_finite (
  name_id INTEGER NOT NULL REFERENCES value_names (id),
  job_id  INTEGER NOT NULL,
  value   TEXT NOT NULL,                        -- NaN, Infinity or -Infinity
  PRIMARY KEY (name_id, job_id)
) WITHOUT ROWID;
CREATE INDEX results_not_finite_of ON results_not_finite (job_id);
"""

# Jobs of whose files the names are to be put right (see `files.names`).
_NAMES = """
CREATE TABLE names_due (job_id INTEGER PRIMARY KEY REFERENCES jobs (id));
INSERT INTO names_due SELECT DISTINCT job_id FROM files WHERE kind = 'upload' AND version > 0
  UNION SELECT id FROM jobs WHERE scratch > 0;
"""

# How much an attempt has printed (see `files.outputs`); NULL: its worker does not say.
_OUTPUT = """
ALTER TABLE attempts ADD COLUMN output_size INTEGER;
"""

# Jobs that were created together: the first id of their batch. Of those from before only files are known.
_BATCH = """
ALTER TABLE jobs ADD COLUMN batch INTEGER;
UPDATE jobs SET batch = (SELECT max(start_id) FROM loaded_files
                         WHERE jobs.id BETWEEN start_id AND start_id + total - 1)
  WHERE EXISTS (SELECT 1 FROM loaded_files);
"""

# Until when a worker that may have left without a word is heard of, if it has not (see `fleet.presence`).
_DUE_BACK = """
ALTER TABLE workers ADD COLUMN due_back REAL;
CREATE INDEX workers_due ON workers (due_back) WHERE due_back IS NOT NULL;
"""

# In which order jobs have changed (see `pages.changelog`).
_CHANGED = """
ALTER TABLE jobs ADD COLUMN changed INTEGER;    -- the number of its last change; NULL: none yet
CREATE INDEX jobs_by_change ON jobs (changed) WHERE changed IS NOT NULL;
DROP TRIGGER changed_job;
CREATE TRIGGER changed_job AFTER UPDATE OF status, parameters, priority, results ON jobs BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
  UPDATE jobs SET changed = (SELECT n FROM changes WHERE topic = 'jobs') WHERE id = NEW.id;
END;
"""

# What jobs wait for (see `operators.dependencies`), in place of what they need.
_DEPENDENCIES = """
CREATE TABLE dependencies (
  needs_id   INTEGER PRIMARY KEY REFERENCES needs (id),  -- a list that no worker has
  then_needs INTEGER,                           -- what the jobs need when they no longer wait; NULL: nothing
  runs       TEXT NOT NULL                      -- JSON: first and last ids of the jobs that are to be DONE
);
"""

# Jobs are counted when their batch is published; here, those of one that was not.
_COUNTED_WHOLE = """
UPDATE job_counts SET n = n - (SELECT count(*) FROM jobs WHERE id >= (
    SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'creating_from'))
  WHERE status = 'PENDING';
"""

# By what people find jobs again, each list once (see `operators.tags`); what needs a tag is found as fast.
_TAGS = """
CREATE TABLE tags (
  id   INTEGER PRIMARY KEY,
  tags TEXT NOT NULL UNIQUE                     -- JSON list, sorted
);
CREATE TABLE listed_tags (
  tag     TEXT NOT NULL,
  tags_id INTEGER NOT NULL REFERENCES tags (id),
  PRIMARY KEY (tag, tags_id)
) WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN tags_id INTEGER;    -- NULL: none
CREATE INDEX jobs_by_tags ON jobs (tags_id, id) WHERE tags_id IS NOT NULL;
CREATE INDEX jobs_by_needs ON jobs (needs_id, id) WHERE needs_id IS NOT NULL;
CREATE TRIGGER changed_tags AFTER UPDATE OF tags_id ON jobs WHEN NEW.tags_id IS NOT OLD.tags_id BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
END;
"""

# Which losses count against a job (see `queue.tookdown`).
_TOOK_DOWN = """
ALTER TABLE attempts ADD COLUMN took_down INTEGER;  -- 1: it was lost, and its worker with it
"""

# What a batch has set aside is found again if that is given up, however many jobs are DELETED.
_SET_ASIDE = """
CREATE INDEX jobs_set_aside ON jobs (replaced_by, id) WHERE replaced_by IS NOT NULL;
"""

# What changes with each job is counted once for all that are committed together (see `queue.jobs`): a
# statement that gives `changed` a value itself says that its caller does, and then no trigger does.
_COUNTED_TOGETHER = """
DROP TRIGGER count_moved_job;
CREATE TRIGGER count_moved_job AFTER UPDATE OF status ON jobs
  WHEN OLD.status <> NEW.status AND NEW.changed IS OLD.changed BEGIN
  UPDATE job_counts SET n = n + CASE status WHEN NEW.status THEN 1 ELSE -1 END
    WHERE status IN (OLD.status, NEW.status);
END;
DROP TRIGGER changed_job;
CREATE TRIGGER changed_job AFTER UPDATE OF status, parameters, priority, results ON jobs
  WHEN NEW.changed IS OLD.changed BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
  UPDATE jobs SET changed = (SELECT n FROM changes WHERE topic = 'jobs') WHERE id = NEW.id;
END;
DROP TRIGGER changed_code;
CREATE TRIGGER changed_code AFTER UPDATE OF code ON jobs
  WHEN NEW.code IS NOT OLD.code AND NEW.changed IS OLD.changed BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
END;
DROP TRIGGER changed_output;
CREATE TRIGGER changed_output AFTER UPDATE OF output_tail, system_metrics ON attempts
  WHEN NEW.verdict IS OLD.verdict BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'output';
END;
DROP TRIGGER changed_worker;
CREATE TRIGGER changed_worker AFTER UPDATE OF reported_status, current_job_id, desired_version,
  applied_version, left_at, failing, done_at, session ON workers WHEN
  (OLD.reported_status, OLD.current_job_id, OLD.desired_version, OLD.applied_version, OLD.left_at,
   OLD.failing, OLD.done_at, OLD.session) IS NOT
  (NEW.reported_status, NEW.current_job_id, NEW.desired_version, NEW.applied_version, NEW.left_at,
   NEW.failing, NEW.done_at, NEW.session) BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'workers';
END;
"""

# What scripts report while they run (see `reports.storage`).
_REPORTS = """
CREATE TABLE reported (
  id          INTEGER PRIMARY KEY,
  job_id      INTEGER NOT NULL REFERENCES jobs (id),
  attempt     INTEGER NOT NULL,
  count       INTEGER NOT NULL DEFAULT 0,       -- reports that were taken, or rows of a file
  from_file   INTEGER NOT NULL DEFAULT 0,
  pieces      INTEGER NOT NULL DEFAULT 0,       -- that are in no series yet
  piece_bytes INTEGER NOT NULL DEFAULT 0,       -- of these
  metrics     TEXT NOT NULL DEFAULT '{}',       -- JSON: by name [name_id, n, last, least, greatest]
  told        TEXT NOT NULL DEFAULT '[]',       -- JSON: what was said in the job's history
  UNIQUE (job_id, attempt)
);
CREATE TABLE report_names (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
);
CREATE TABLE report_pieces (
  id          INTEGER PRIMARY KEY,
  reported_id INTEGER NOT NULL REFERENCES reported (id),
  body        BLOB NOT NULL                     -- points of all metrics in it
);
CREATE INDEX report_pieces_of ON report_pieces (reported_id, id);
CREATE TABLE report_series (
  id      INTEGER PRIMARY KEY,
  name_id INTEGER NOT NULL REFERENCES report_names (id),
  job_id  INTEGER NOT NULL REFERENCES jobs (id),
  attempt INTEGER NOT NULL,
  points  INTEGER NOT NULL DEFAULT 0,           -- in its chunks
  course  BLOB NOT NULL DEFAULT x'',            -- of its sealed chunks
  UNIQUE (name_id, job_id, attempt)
);
CREATE INDEX report_series_of ON report_series (job_id, attempt, id);
CREATE TABLE report_chunks (
  series_id INTEGER NOT NULL REFERENCES report_series (id),
  number    INTEGER NOT NULL,
  sealed    INTEGER NOT NULL,                   -- 1: it is full, and compressed
  low       REAL NOT NULL,                      -- the least and the greatest step
  high      REAL NOT NULL,
  since     REAL NOT NULL,                      -- the earliest and the latest time
  until     REAL NOT NULL,
  body      BLOB NOT NULL,
  PRIMARY KEY (series_id, number)
);
-- Jobs that have reported something since their results were written, or since that was told.
CREATE TABLE reports_due (
  job_id  INTEGER PRIMARY KEY REFERENCES jobs (id),
  written INTEGER NOT NULL,
  told    INTEGER NOT NULL
);
INSERT INTO changes VALUES ('reports', 0);
"""

# Why attempts have failed (see `queue.errors`); of those from before it is found out by and by.
_ERRORS = """
CREATE TABLE error_kinds (
  id        INTEGER PRIMARY KEY,
  form      TEXT NOT NULL,                      -- of the error lines (see `errorform`)
  verdict   TEXT NOT NULL,
  exit_code INTEGER
);
CREATE INDEX error_kinds_by_form ON error_kinds (form, verdict);
ALTER TABLE attempts ADD COLUMN error TEXT;     -- the error line; NULL: it has not failed, or runs
ALTER TABLE attempts ADD COLUMN error_id INTEGER;  -- its kind
ALTER TABLE attempts ADD COLUMN gpus TEXT;      -- of its worker, where it has failed; NULL: not known
-- All that failures are counted by, so that no output has to be read over.
CREATE INDEX attempts_by_error ON attempts (error_id, job_id, number, ended_at, worker_id, gpus)
  WHERE error_id IS NOT NULL;
INSERT INTO settings (name, value)
  SELECT 'errors_missing', '0 ' || id FROM jobs ORDER BY id DESC LIMIT 1;
"""

# What a job has of its worker's machine, and attempts by time (see `pages.history.cost`,
# `pages.history.timeline`).
_HISTORY = """
ALTER TABLE workers ADD COLUMN job_cpus REAL;   -- what its worker says; NULL: it does not
ALTER TABLE workers ADD COLUMN job_gpus REAL;
ALTER TABLE attempts ADD COLUMN job_cpus REAL;  -- as its worker had when it began
ALTER TABLE attempts ADD COLUMN job_gpus REAL;
-- All that the history is worked out from, so that no output has to be read over.
CREATE INDEX attempts_by_time ON attempts (
  started_at, worker_id, ended_at, verdict, runtime, job_cpus, job_gpus, hub_user);
"""

# One trigger in place of three, of which each costs a claim something, also where it has nothing to do.
_ONE_TRIGGER = """
DROP TRIGGER count_moved_job;
DROP TRIGGER changed_code;
DROP TRIGGER changed_job;
CREATE TRIGGER changed_job AFTER UPDATE OF status, parameters, priority, results, code ON jobs
  WHEN NEW.changed IS OLD.changed BEGIN
  UPDATE job_counts SET n = n + CASE status WHEN NEW.status THEN 1 ELSE -1 END
    WHERE status IN (OLD.status, NEW.status) AND OLD.status <> NEW.status;
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
  UPDATE jobs SET changed = (SELECT n FROM changes WHERE topic = 'jobs') WHERE id = NEW.id;
END;
"""

# Which jobs were aborted as their sweep has ended by its rule (see `operators.endrule`).
_END_RULE = """
ALTER TABLE jobs ADD COLUMN by_rule INTEGER;    -- 1: it was; until it is tried again
CREATE INDEX jobs_by_rule ON jobs (by_rule, id) WHERE by_rule IS NOT NULL;
"""

# Not of status and code, which each claim and each result sets: of each page that a statement changes at
# which a trigger looks SQLite makes a copy, also where the trigger has nothing to do. Whoever sets one of
# these numbers the change (see `queue.jobs`).
_FEWER_COPIES = """
DROP TRIGGER changed_job;
CREATE TRIGGER changed_job AFTER UPDATE OF parameters, priority, results ON jobs
  WHEN NEW.changed IS OLD.changed BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'jobs';
  UPDATE jobs SET changed = (SELECT n FROM changes WHERE topic = 'jobs') WHERE id = NEW.id;
END;
"""

# Likewise: who writes output or figures of an attempt, or the job of a worker alone, says so itself
# (`Happened.printed` and `workers_changed`).
_FEWER_STILL = """
DROP TRIGGER changed_output;
DROP TRIGGER changed_worker;
CREATE TRIGGER changed_worker AFTER UPDATE OF reported_status, desired_version,
  applied_version, left_at, failing, done_at, session ON workers WHEN
  (OLD.reported_status, OLD.current_job_id, OLD.desired_version, OLD.applied_version, OLD.left_at,
   OLD.failing, OLD.done_at, OLD.session) IS NOT
  (NEW.reported_status, NEW.current_job_id, NEW.desired_version, NEW.applied_version, NEW.left_at,
   NEW.failing, NEW.done_at, NEW.session) BEGIN
  UPDATE changes SET n = n + 1 WHERE topic = 'workers';
END;
"""

MIGRATIONS: Tuple[str, ...] = (FIRST, DASHBOARD, _TIME, _USERS, _SIGNED_IN, _REPLACED, _LIMITS,
                             _NEEDS, _ELSEWHERE, _PATHS, _SCRATCH, _DIGESTS, _FLAGS, _CODES, _NOT_FINITE,
                             _NAMES, _OUTPUT, _BATCH, _DUE_BACK, _CHANGED, _DEPENDENCIES,
                             _COUNTED_WHOLE, _TAGS, _TOOK_DOWN, _SET_ASIDE, _COUNTED_TOGETHER, _REPORTS,
                             _ERRORS, _HISTORY, _ONE_TRIGGER, _END_RULE, _FEWER_COPIES, _FEWER_STILL)
