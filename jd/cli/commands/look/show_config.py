"""`jd_worker_cli expId=... show-config <worker-id>`: what a worker was started with."""

import re
from typing import Any, List, Mapping, Tuple

from jd import settings
from jd.cli.context import Context
from jd.cli.showing import views
from jd.errors import UsageError
from jd.worker import publishedlaunch
from jd.worker.attempt.process import memory
from jd.worker.config import launch_environ
from jd.worker.local import outboxes
from jd.worker.local.rows import Row

HIDDEN = "set (not shown)"
_SECRET_NAME = re.compile("key|token|secret|passw|credential", re.IGNORECASE)
_API_KEY = re.compile(r"\bjd_[A-Za-z0-9]{16,}")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


def run(context: Context) -> int:
    """Show the launch configuration stored when a worker registered (reference, section 2)."""
    row = context.worker()
    document = without_secrets(publishedlaunch.without_names(row.config))
    if document and not row.is_published:
        document["outbox"] = _outbox(context, row)
    pairs = flat(dict(document, memory=memory.shown(row.config["memory"]))
                 if isinstance(row.config.get("memory"), int) else document)  # for people as it was typed
    views.emit(context, document, views.facts(pairs) if pairs else [
        "worker %s was registered without a configuration, by another client"
        % views.plain(row.worker_id)])
    return 0


def _outbox(context: Context, row: Row) -> str:
    """Where the results of a worker wait while its server is away; empty where there is no home."""
    variables = row.config.get("environ")
    stored = variables if isinstance(variables, Mapping) else {}
    try:
        return str(outboxes.first(row.experiment, launch_environ(
            context.environ, {str(name): str(value) for name, value in stored.items()})).path)
    except UsageError:
        return ""


def without_secrets(value: Any, name: str = "") -> Any:
    """JSON with `HIDDEN` in place of what its name says is secret, and of what looks like it."""
    if value in (None, "", False):
        return value
    if is_secret(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: without_secrets(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner, name) for inner in value]
    if isinstance(value, str):
        return _URL_CREDENTIALS.sub("***@", _API_KEY.sub("jd_***", value))
    return value


def is_secret(name: str) -> bool:
    """Whether what has this name is not to be shown: as declared, else as its name sounds."""
    for setting in settings.WORKER:
        if name in (setting.name, setting.variable):
            return setting.secret
    return bool(_SECRET_NAME.search(name))


def flat(document: Mapping[str, Any], prefix: str = "") -> List[Tuple[str, str]]:
    """Names and values for people; what is nested has names with dots."""
    pairs: List[Tuple[str, str]] = []
    for key, value in document.items():
        name = prefix + views.plain(key)
        if isinstance(value, Mapping):
            pairs += flat(value, name + ".")
        elif isinstance(value, bool):
            pairs.append((name, "true" if value else "false"))
        elif isinstance(value, list):
            pairs.append((name, ", ".join(map(views.plain, value)) or "-"))
        else:
            pairs.append((name, "-" if value in (None, "") else views.plain(value)))
    return pairs
