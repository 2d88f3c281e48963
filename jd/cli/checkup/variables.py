"""JD_* variables: misspelt names, and values that cannot be used."""

import difflib
from typing import Dict, List, Mapping

from jd import settings
from jd.cli.checkup.finding import Finding, Notes
from jd.errors import UsageError
from jd.settings import Given, Setting

TOPIC = "Settings"
PREFIX = "JD_"

# What a worker tells its job (docs/worker.md), and what templates for clusters read.
_OF_A_JOB = ("JD_JOB_ID", "JD_JOB_PARAMETERS", "JD_JOB_ATTEMPT", "JD_WORKER_ID", "JD_WORKER_TOKEN",
             "JD_WORKER_JOB_DIR", "JD_WORKER_WORKSPACE_ROOT", "JD_PROCESS_ID", "JD_CHECKPOINT_DIR",
             "JD_CHECKPOINT_KEY", "JD_SERVER_FILE", "JD_METRICS")
# What published clients read or set (docs/compatibility.md); here they have no effect.
_OF_OTHERS = ("JD_TOKEN_REFRESH_RETRIES", "JD_TOKEN_REFRESH_RETRY_SLEEP_MAX", "JD_REGISTRY_FRESH",
              "JD_WORKER_TOKEN_FILE")
_OF_TEMPLATES = ("JD_SCRATCH", "JD_SETUP", "JD_VENV")


def _by_variable() -> Dict[str, Setting]:
    tables = (settings.HUB + settings.SERVER + settings.SCRIPT + settings.WORKER
              + (settings.DEBUG,))
    return {setting.variable: setting for setting in tables if setting.variable}


def names(environ: Mapping[str, str]) -> List[Finding]:
    """Variables that look like ours and are not."""
    notes = Notes(TOPIC)
    known = list(_by_variable()) + [*_OF_A_JOB, *_OF_TEMPLATES, *_OF_OTHERS]
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX) or name in known:
            continue
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
        notes.warn("%s is set, and nothing reads it" % name,
                   "did you mean %s?" % close[0] if close else "unset it if it is a mistake")
    return notes.findings


def values(environ: Mapping[str, str]) -> List[Finding]:
    """Variables whose values cannot be used. The values of good ones are listed, secrets hidden."""
    notes = Notes(TOPIC)
    own = {setting.variable for setting in settings.WORKER + settings.SCRIPT}
    used = []
    for name, setting in sorted(_by_variable().items()):
        text = environ.get(name, "")
        if not text.strip():
            continue
        try:
            settings.parse_given(setting, Given(text, name))
        except UsageError as error:
            # A worker does not read what is for a server on the same machine.
            (notes.problem if name in own else notes.warn)(error.what, error.advice)
        else:
            used.append(name)
    if used:
        notes.ok("set: " + ", ".join(used))
    elif not notes.findings:
        notes.ok("no JD_ variable is set")
    return notes.findings
