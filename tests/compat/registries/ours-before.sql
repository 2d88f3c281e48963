-- As this project made it before it had every column of published clients.
CREATE TABLE workers (
  worker_id TEXT PRIMARY KEY, exp_id TEXT NOT NULL, pid INTEGER NOT NULL, process_id INTEGER NOT NULL,
  entry_script TEXT NOT NULL, machine_type TEXT NOT NULL DEFAULT 'worker', log_path TEXT NOT NULL DEFAULT '',
  started_at REAL NOT NULL, status TEXT NOT NULL DEFAULT 'idle', current_job_id INTEGER, last_ping_at REAL,
  config_json TEXT NOT NULL DEFAULT '{}', worker_token TEXT NOT NULL DEFAULT '', token_updated_at REAL,
  host TEXT NOT NULL DEFAULT '', boot_id TEXT NOT NULL DEFAULT '', start_time TEXT NOT NULL DEFAULT '',
  pid_namespace TEXT NOT NULL DEFAULT '', session TEXT NOT NULL DEFAULT '', paused_because TEXT NOT NULL DEFAULT '');
CREATE TABLE experiment_meta (exp_id TEXT PRIMARY KEY, drained INTEGER NOT NULL DEFAULT 0);
INSERT INTO experiment_meta VALUES ('exp', 0);
INSERT INTO workers (worker_id, exp_id, pid, process_id, entry_script, started_at, status, current_job_id, config_json,
    host, boot_id, start_time, pid_namespace, session)
  VALUES ('gpunode7_egg_0', 'exp', 4001, 0, '/home/ann/train.py', 1700000000.5, 'busy', 7,
    '{"experiment": "exp", "entry_script": "/home/ann/train.py", "server": "http://127.0.0.1:5000"}',
    'gpunode7', 'another-boot', '77', 'pid:[1]', 's1');
