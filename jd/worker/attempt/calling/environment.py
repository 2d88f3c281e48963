"""The environment variables that an entry script gets (reference, section 6)."""

import json
import os
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

from jd import killpoint
from jd.auth import checkpointkey, tokenfiles
from jd.auth.jwt import OWNER
from jd.messages import Assignment
from jd.worker.attempt.calling import flags, importing
from jd.worker.attempt.reports import reportfile
from jd.worker.config import WorkerConfig

# What a worker that was itself started by a job would otherwise hand on, and what is for its process alone.
_NOT_FOR_JOBS = ("JD_JOB_ATTEMPT", "JD_WORKER_TOKEN", "JD_CHECKPOINT_DIR", "JD_SERVER_FILE", "JD_TRYOUT_DIR",
                 checkpointkey.VARIABLE, killpoint.VARIABLE)


def with_package(python_path: str, place: str) -> str:
    """PYTHONPATH so that `import jd` works in the script: `place` is that of the package.

    It comes last: what the user put there keeps its precedence. It comes before what is installed for the
    script's Python: the worker and the jd in its job are of one version.
    """
    entries = python_path.split(os.pathsep) if python_path else []
    return python_path if place in entries else os.pathsep.join(entries + [place])


def passes_api_key(config: WorkerConfig, token: Optional[str]) -> bool:
    """Whether scripts get JD_API_KEY. The reference promises it (section 6); nothing of ours needs it there.

    Not so in an experiment that somebody shares with this user: what runs there is for that one's sweep, and
    the key opens all of this user's own. A Hub that tells no role shares nothing that way.
    """
    if config.pass_api_key is not None:
        return config.pass_api_key
    return bool(tokenfiles.claims(token or "").get("role", OWNER) == OWNER)


def handed_on(environ: Mapping[str, str]) -> Dict[str, str]:
    """What all jobs of a worker get of its own environment."""
    # One without a name, which some programs hand on, Python can give to no process.
    return {name: value for name, value in environ.items()
            if name and name not in _NOT_FOR_JOBS and not flags.is_variable(name)}


def job_environment(inherited: Mapping[str, str], config: WorkerConfig, assignment: Assignment,
                    worker_id: str, token: Optional[str], checkpoints: Optional[Path] = None,
                    keys: Sequence[str] = ()) -> Dict[str, str]:
    """What is `inherited`, see `handed_on`, and what describes this job; `checkpoints` is the attempt's
    checkpoint directory, `keys` what checkpoints are signed with."""
    job_dir = config.job_dir(assignment.job_id)
    environ = dict(inherited)
    if not passes_api_key(config, token):
        environ.pop("JD_API_KEY", None)
    environ.update({
        "JD_JOB_ID": str(assignment.job_id),
        "JD_EXP_ID": config.experiment,
        "JD_SERVER": config.server,
        "JD_WORKER_WORKSPACE_ROOT": config.data_root,
        "JD_WORKER_JOB_DIR": str(job_dir),
        "JD_WORKER_ID": worker_id,
        "JD_PROCESS_ID": str(config.process_id),
        "JD_METRICS": reportfile.place(job_dir, assignment.attempt),
        "JD_JOB_PARAMETERS": json.dumps(assignment.parameters),
    })
    if assignment.attempt is not None:
        environ["JD_JOB_ATTEMPT"] = str(assignment.attempt)
    if checkpoints is not None:
        environ["JD_CHECKPOINT_DIR"] = str(checkpoints)
    if config.server_file is not None:
        environ["JD_SERVER_FILE"] = str(config.server_file)
    if token:
        environ["JD_WORKER_TOKEN"] = token
    if keys:
        environ[checkpointkey.VARIABLE] = checkpointkey.joined(keys)
    # Lines reach the log while the job runs, and the last ones before a crash are not lost.
    environ.setdefault("PYTHONUNBUFFERED", "1")
    environ["PYTHONPATH"] = with_package(environ.get("PYTHONPATH", ""), importing.place(config.environ))
    return environ
