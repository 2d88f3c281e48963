"""Where a script keeps its files (library reference, section 3).

The worker's own variables come first: they say where the directories are that it has made. Without a
worker it is a try-out, which makes its own. Scripts import this each time they run, in a job at once with the
answer: what looks further is imported where it does.
"""

import os
from pathlib import Path


def jd_job_dir() -> Path:
    """The directory of the running job, `~/jd_data/<experiment>/<job>`: all its output goes here.

    In a script that no worker started it is a new directory of a try-out, and raises StorageError where
    that cannot be made.
    """
    given = os.environ.get("JD_WORKER_JOB_DIR", "").strip()
    if given:
        return Path(given)
    from jd.script import tryout
    return tryout.job_dir()


def jd_exp_dir() -> Path:
    """What all jobs of the experiment share on this machine, `~/jd_data/<experiment>`.

    Without a worker it is made, and of the experiment "tryout" where JD_EXP_ID is not set. Raises
    OutsideJobError for a worker that sets no JD_EXP_ID, and StorageError.
    """
    from jd.script import tryout
    from jd.script.context import experiment_of, outside_job
    if tryout.applies():
        return tryout.experiment_dir()
    experiment = experiment_of(os.environ)
    if experiment is None:
        raise outside_job("jd_exp_dir", "JD_EXP_ID")
    return jd_worker_workspace() / experiment


def jd_worker_workspace() -> Path:
    """The root of all job data on this machine, `~/jd_data` or `<JD_WORKSPACE_PATH>/jd_data`.

    It is JD_WORKER_WORKSPACE_ROOT where the worker has set it. Works outside a job.
    """
    from jd.script.context import workspace_root
    return workspace_root(os.environ)
