"""JobDistributor: run parameter sweeps on the machines you have.

What entry scripts and programs that drive a sweep call is imported on first use, so that `import jd` costs
next to nothing and touches no file.

Modules that each start of a command needs import nothing for their types when they run: `typing` brings `re`
and more, which takes as long as all of Python's own start. Annotations stay text there, and what only they
need is imported below `if TYPE_CHECKING`, a name that type checkers take for true. Shapes of data come from
`jd.shape`, which has a `NamedTuple` of its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "2.0.0"
# Another vendor has a package of this name too.
__product__ = "self-hosted JobDistributor"
__author__ = "the JobDistributor authors"

_HOME_OF = {
    "jd_job_dir": "jd.script.directories",
    "jd_exp_dir": "jd.script.directories",
    "jd_worker_workspace": "jd.script.directories",
    "jd_upload": "jd.script.upload",
    "jd_update_checkpoint": "jd.script.checkpoint",
    "jd_get_last_checkpoint": "jd.script.checkpoint",
    "jd_report": "jd.script.report",
    "init": "jd.sweep.session",
    "create_jobs": "jd.sweep.jobs",
    "list_jobs": "jd.sweep.jobs",
    "get_job_statuses": "jd.sweep.jobs",
    "list_job_uploads": "jd.sweep.files",
    "download_result": "jd.sweep.files",
    "wait_for_jobs": "jd.sweep.waiting",
    "results": "jd.sweep.results",
    "iter_results": "jd.sweep.results",
    "Sweep": "jd.sweep.sweeps",
    "uniform": "jd.sweep.spaces",
    "randint": "jd.sweep.spaces",
    "choice": "jd.sweep.spaces",
    "map": "jd.sweep.mapped",
    "retry": "jd.sweep.steering",
    "cancel": "jd.sweep.steering",
    "prioritise": "jd.sweep.steering",
    "edit": "jd.sweep.steering",
    "tag": "jd.sweep.steering",
    "fetch": "jd.sweep.fetching",
    "job": "jd.sweep.looking",
    "output": "jd.sweep.looking",
    "reports": "jd.sweep.looking",
    "watch": "jd.sweep.looking",
    "data_root": "jd.sweep.files",
    "exp_path": "jd.sweep.files",
    "job_path": "jd.sweep.files",
    "job_download_dir": "jd.sweep.files",
}

__all__ = ["__version__", "sweep", *_HOME_OF]


def __getattr__(name: str) -> Any:
    import importlib
    if name == "sweep":  # a room that is called like a function, and is one; importing it puts it here
        importlib.import_module(_HOME_OF["Sweep"])
        return globals()[name]
    if name not in _HOME_OF:
        raise AttributeError("module 'jd' has no attribute %r" % name)
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
