"""What one launch of workers was asked for, checked and ready to use."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional

from jd import paths

BASE_PATH_AUTO = "auto"
BASE_PATH_ALWAYS = "always"
BASE_PATH_NEVER = "never"


@dataclass(frozen=True)
class WorkerConfig:
    """The launch arguments of the reference (section 2), after defaults and checks.

    `entry_script` is absolute, `server` a URL with its port, `grace` in seconds. `environ` is the
    environment that directories and tokens are taken from, and that jobs inherit.
    """

    experiment: str
    entry_script: Path
    server: str
    machine_type: str = "worker"
    process_id: int = 0
    num_workers: int = 1
    foreground: bool = False
    once: bool = False
    log_dir: Optional[Path] = None
    base_path: str = BASE_PATH_AUTO
    grace: float = 20.0
    log_max_bytes: int = 50_000_000
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def log_file(self, worker_id: str) -> Path:
        """The log of one worker of this launch."""
        directory = self.log_dir
        if directory is None:
            directory = paths.log_dir(self.experiment, self.environ)
        return paths.log_file(directory, worker_id)

    def job_dir(self, job_id: int) -> Path:
        """The directory of one job, absolute."""
        return paths.job_dir(self.experiment, job_id, self.environ).absolute()
