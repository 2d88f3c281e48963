"""The schema of the Hub's database, as migrations (see `jd.storage.database`).

Keys, links and sessions are stored as digests, passwords hashed. Two kinds of secrets are stored as they
are: `experiments.secret`, because tokens are signed with it, and `checkpoint_secret` in `settings`, which
the users' checkpoint keys are derived from. That is why the file is for its owner alone (0600).
"""

from typing import Tuple

_FIRST = """
CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,   -- tokens name it: never given twice
  email        TEXT NOT NULL UNIQUE COLLATE NOCASE,
  password     TEXT,                                -- hashed; NULL until the sign-up link is used
  admin        INTEGER NOT NULL DEFAULT 0,
  created_at   REAL NOT NULL,
  suspended_at REAL                                 -- NULL while in good standing
);

CREATE TABLE signup_links (
  digest     TEXT PRIMARY KEY,
  user_id    INTEGER REFERENCES users (id),         -- NULL: makes the first administrator
  created_at REAL NOT NULL,
  expires_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE api_keys (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id      INTEGER NOT NULL REFERENCES users (id),
  name         TEXT NOT NULL,
  digest       TEXT NOT NULL UNIQUE,
  prefix       TEXT NOT NULL,                       -- what lists show of it
  created_at   REAL NOT NULL,
  last_used_at REAL,                                -- to the minute
  revoked_at   REAL
);
CREATE INDEX api_keys_of ON api_keys (user_id);

CREATE TABLE experiments (
  id             TEXT PRIMARY KEY,                  -- UUID
  name           TEXT NOT NULL,
  owner_id       INTEGER NOT NULL REFERENCES users (id),
  secret         TEXT NOT NULL,                     -- worker_shared_secret, in clear
  server_url     TEXT,                              -- NULL until a job server has registered
  dashboard_url  TEXT,
  created_at     REAL NOT NULL,
  last_activity  REAL NOT NULL,
  server_seen_at REAL,                              -- latest register or heartbeat
  deleted_at     REAL                               -- NULL: its status is active
);
CREATE UNIQUE INDEX experiments_live ON experiments (name) WHERE deleted_at IS NULL;
CREATE INDEX experiments_by_name ON experiments (name);
CREATE INDEX experiments_of ON experiments (owner_id);

CREATE TABLE shares (
  experiment_id TEXT NOT NULL REFERENCES experiments (id),
  user_id       INTEGER NOT NULL REFERENCES users (id),
  created_at    REAL NOT NULL,
  PRIMARY KEY (experiment_id, user_id)
) WITHOUT ROWID;
CREATE INDEX shares_with ON shares (user_id);

CREATE TABLE worker_tokens (
  jti           TEXT PRIMARY KEY,
  experiment_id TEXT NOT NULL REFERENCES experiments (id),
  user_id       INTEGER NOT NULL REFERENCES users (id),
  key_id        INTEGER NOT NULL REFERENCES api_keys (id),
  issued_at     REAL NOT NULL,
  expires_at    REAL NOT NULL,
  revoked_at    REAL
) WITHOUT ROWID;
CREATE INDEX worker_tokens_of ON worker_tokens (experiment_id, user_id);
CREATE INDEX worker_tokens_by_key ON worker_tokens (key_id);
CREATE INDEX worker_tokens_end ON worker_tokens (expires_at);
CREATE INDEX worker_tokens_revoked ON worker_tokens (experiment_id) WHERE revoked_at IS NOT NULL;

CREATE TABLE history (
  id        INTEGER PRIMARY KEY,
  timestamp REAL NOT NULL,
  actor     TEXT NOT NULL,                          -- an email address, or cli (NAME)
  event     TEXT NOT NULL,
  subject   TEXT NOT NULL                           -- what it was done to
);
CREATE INDEX history_of ON history (subject, id);
"""

_SESSIONS = """
CREATE TABLE sessions (
  digest     TEXT PRIMARY KEY,
  user_id    INTEGER NOT NULL REFERENCES users (id),
  created_at REAL NOT NULL,
  expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of ON sessions (user_id);
CREATE INDEX sessions_end ON sessions (expires_at);
"""

# A PIN for the dashboard, until the experiment's job server says that it took it.
_DASHBOARD_PIN = """
ALTER TABLE experiments ADD COLUMN pin_number INTEGER NOT NULL DEFAULT 0;  -- of the latest reset
ALTER TABLE experiments ADD COLUMN pin_hash TEXT;                          -- NULL: taken, or none
"""

# What a share is good for. Those from before were meant for work.
_ROLES = """
ALTER TABLE shares ADD COLUMN role TEXT NOT NULL DEFAULT 'work' CHECK (role IN ('work', 'edit'));
"""

# Who signed in, of the users of the Hub's machine: NULL for who came from elsewhere, so those from
# before, which do not say, end.
_SIGNED_IN = """
DELETE FROM sessions;
ALTER TABLE sessions ADD COLUMN uid INTEGER;
"""

MIGRATIONS: Tuple[str, ...] = (_FIRST, _SESSIONS, _DASHBOARD_PIN, _ROLES, _SIGNED_IN)
