"""Where a script keeps its files (library reference, section 3).

The worker's own variables come first: they say where the directories are that it has made. Nothing
here creates a directory.
"""

import os
from pathlib import Path

from jd import paths
from jd.script.context import outside_job, require_experiment, require_job


def jd_job_dir() -> Path:
    """The directory of the running job, `~/jd_data/<experiment>/<job>`: all its output goes here.

    It is JD_WORKER_JOB_DIR where the worker has set it. Raises OutsideJobError outside a job.
    """
    given = os.environ.get("JD_WORKER_JOB_DIR", "").strip()
    if given:
        return Path(given)
    missing = [name for name in ("JD_EXP_ID", "JD_JOB_ID") if not os.environ.get(name, "").strip()]
    if missing:
        raise outside_job("jd_job_dir", *missing)
    return jd_exp_dir() / str(require_job("jd_job_dir"))


def jd_exp_dir() -> Path:
    """What all jobs of the experiment share on this machine, `~/jd_data/<experiment>`.

    Raises OutsideJobError where JD_EXP_ID is not set.
    """
    return jd_worker_workspace() / require_experiment("jd_exp_dir")


def jd_worker_workspace() -> Path:
    """The root of all job data on this machine, `~/jd_data` or `<JD_WORKSPACE_PATH>/jd_data`.

    It is JD_WORKER_WORKSPACE_ROOT where the worker has set it. Works outside a job.
    """
    given = os.environ.get("JD_WORKER_WORKSPACE_ROOT", "").strip()
    return Path(given) if given else paths.data_root()
