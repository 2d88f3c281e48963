"""Which job a script runs for, and which server it belongs to.

A worker says so in variables (library reference, section 6); everything here reads them when it is
called, never at import.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, Optional

from jd import paths, protocol, settings, settingvalues
from jd.errors import OutsideJobError, StorageError, UsageError

if TYPE_CHECKING:  # the network is imported by what calls a server: a try-out does not
    from jd.net.client import Client
    from jd.net.finding.published import Place

Environ = Mapping[str, str]

_HOW_TO_RUN = "run the script through `jd_worker_cli expId=NAME entry_script=SCRIPT`, or give job_id="


@dataclass(frozen=True)
class JobContext:
    """The job that a call is about.

    `token` gives the bearer token of the moment, or None. `attempt` is None where the worker's
    server counts no attempts, and where the call names another job than the one that runs.
    `elsewhere`: the call names its server, which may have any experiment. `keys` gives the keys for
    checkpoints that are at hand, beside the one in the home of `environ`. `certificate`, in PEM form,
    is then the only one of the server to trust.
    """

    experiment: Optional[str]
    job_id: int
    server: str
    token: Callable[[], Optional[str]]
    attempt: Optional[int] = None
    elsewhere: bool = False
    keys: Callable[[], List[str]] = field(default=list, repr=False, compare=False)
    environ: Environ = field(default_factory=lambda: os.environ, repr=False, compare=False)
    certificate: Optional[str] = None

    @classmethod
    def current(cls, caller: str, job_id: Optional[int] = None, server: Optional[str] = None,
                environ: Environ = os.environ) -> "JobContext":
        """The running job, as the variables say; `job_id` and `server` replace what they say.

        Raises OutsideJobError, which names `caller` and what is missing, and UsageError for a
        value that cannot be used. The token of the running job goes to a replaced server too.
        """
        from jd.auth import checkpointkey
        running = _number(environ, "JD_JOB_ID")
        wanted = running if job_id is None else _job_number(job_id, "%s: job_id" % caller)
        if wanted is None:
            raise outside_job(caller, "JD_JOB_ID")
        attempt = _number(environ, "JD_JOB_ATTEMPT") if wanted == running and not server else None
        place = _place(environ, server, caller)
        return cls(
            experiment=experiment_of(environ),
            job_id=wanted,
            server=place.url,
            token=lambda: place.token or script_token(environ),
            attempt=attempt,
            elsewhere=bool(server),
            keys=lambda: checkpointkey.of_script(experiment_of(environ), environ),
            environ=environ,
            certificate=place.certificate,
        )

    def client(self, timeout: float = 30.0) -> "Client":
        """A client of the job's server; `timeout` in seconds for each wait on the network."""
        from jd.net.client import Client
        return Client(self.server, self.token, timeout, self.meant_for, self.certificate)

    @property
    def meant_for(self) -> Optional[str]:
        """The experiment that the server must have; None where any will do."""
        return None if self.elsewhere else self.experiment


def outside_job(caller: str, missing: str) -> OutsideJobError:
    """The error of a function that cannot know which job it is about."""
    return OutsideJobError("%s needs a running job, and %s is not set" % (caller, missing), _HOW_TO_RUN)


def in_worker(environ: Environ = os.environ) -> bool:
    """Whether a worker started this script: every worker says where the job's directory is."""
    return bool(environ.get("JD_WORKER_JOB_DIR", "").strip())


def workspace_root(environ: Environ = os.environ) -> Path:
    """The root of all job data: what the worker says, else what the variables do."""
    given = environ.get("JD_WORKER_WORKSPACE_ROOT", "").strip()
    return Path(given) if given else paths.data_root(environ)


def script_token(environ: Environ = os.environ) -> Optional[str]:
    """The worker's token, renewed ones included, else the shared token of a standalone server, else
    None."""
    from jd.auth import tokenfiles
    from jd.auth.sharedtoken import worker_token
    return tokenfiles.newest(environ) or worker_token(environ)


def experiment_of(environ: Environ) -> Optional[str]:
    """JD_EXP_ID, checked; None where it is not set. Raises UsageError."""
    experiment: Optional[str] = settings.value_of(settings.WORKER, "expId", environ)
    return experiment


def _number(environ: Environ, variable: str) -> Optional[int]:
    given = environ.get(variable, "").strip()
    return _job_number(given, variable) if given else None


def _job_number(given: Any, origin: str) -> int:
    try:
        number = given if isinstance(given, int) and not isinstance(given, bool) else int(str(given))
    except ValueError:
        number = 0
    if not 1 <= number < 2 ** 53:
        raise UsageError("%s: %s is not allowed" % (origin, protocol.shown(given)),
                         "give a positive whole number")
    return number


def _place(environ: Environ, replaced: Optional[str], caller: str) -> "Place":
    """The server: as it is named, else by the worker's file, since it may have moved meanwhile, else
    as JD_SERVER says, else by the experiment's access file. Raises StorageError and UsageError."""
    from jd.net.finding import published
    from jd.net.finding.published import Place
    if replaced:
        return Place(_url(environ, replaced, "%s: server" % caller))
    named = environ.get("JD_SERVER", "").strip()
    path = environ.get("JD_SERVER_FILE", "")
    try:
        place = published.read(Path(path), named) if path else None
    except StorageError:
        place = None  # JD_SERVER is where it was
    experiment = experiment_of(environ)
    if place is None and not named and experiment and not environ.get("JD_PORT", "").strip():
        place = published.found(experiment, environ)
    return place or Place(_url(environ, named or "localhost", "JD_SERVER"))


def _url(environ: Environ, given: str, origin: str) -> str:
    """The base URL. A bare host name gets http:// and the port of a standalone server; a URL is
    complete as it is (reference, sections 2 and 6)."""
    from urllib.parse import urlsplit
    given = given.strip() or "localhost"
    try:
        url = settingvalues.server_url(given)
    except ValueError as error:
        what = "that value" if "@" in given else protocol.shown(given)
        raise UsageError("%s: %s is not allowed" % (origin, what), "give %s" % error) from None
    parts = urlsplit(url)
    if "://" not in given and parts.port is None and not parts.path:
        url += ":%d" % settings.value_of(settings.WORKER, "port", environ)
    return url
