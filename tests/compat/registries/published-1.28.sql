-- As jd-worker 1.28 and 1.29 make it: the table of words is there and stays empty; the instance has ten characters.
CREATE TABLE workers (
    worker_id TEXT PRIMARY KEY, exp_id TEXT NOT NULL, pid INTEGER NOT NULL, process_id INTEGER NOT NULL,
    runner_id TEXT NOT NULL DEFAULT '', entry_script TEXT NOT NULL, machine_type TEXT NOT NULL DEFAULT 'worker',
    log_path TEXT NOT NULL DEFAULT '', started_at REAL NOT NULL, status TEXT NOT NULL DEFAULT 'idle',
    current_job_id INTEGER, last_ping_at REAL, config_json TEXT NOT NULL DEFAULT '{}',
    worker_token TEXT NOT NULL DEFAULT '', token_updated_at REAL);
CREATE INDEX idx_workers_exp ON workers(exp_id);
CREATE INDEX idx_workers_job ON workers(current_job_id);
CREATE INDEX idx_workers_exp_pid ON workers(exp_id, pid);
CREATE TABLE experiment_meta (exp_id TEXT PRIMARY KEY, drained INTEGER NOT NULL DEFAULT 0);
CREATE TABLE possible_instances_name (name TEXT PRIMARY KEY, taken INTEGER NOT NULL DEFAULT 0);
CREATE INDEX idx_instances_taken ON possible_instances_name(taken);
INSERT INTO workers VALUES ('gpunode7_Ab3xY9Kq2Z_1', 'exp', 4001, 1, 'gpunode7_Ab3xY9Kq2Z_1', '/home/ann/train.py', 'worker',
    '/home/ann/jd_data/exp/jd_worker_logs/jd_worker_gpunode7_Ab3xY9Kq2Z_1.log', 1700000000.5, 'busy', 7, NULL,
    '{"exp_id": "exp", "entry_script": "/home/ann/train.py", "base_url": "http://127.0.0.1:5000", "workspace_path": "/home/ann/jd_data", "workspace_parent": "/home/ann", "cache_parent": "/home/ann/.jd_cache", "log_dir_override": null, "machine_type": "worker", "process_id": "1", "num_workers": 1, "once": false, "foreground": false, "hub_url": "https://hub.jobdistributor.net", "api_key": "", "worker_id": "gpunode7_Ab3xY9Kq2Z_1"}',
    '', NULL);
