"""Results that wait on this machine for their server."""

import os
from typing import Mapping

from jd import paths
from jd.errors import StorageError


def undelivered(experiment: str, environ: Mapping[str, str]) -> int:
    """How many results of an experiment wait on this machine for their server."""
    directory = paths.outbox_dir(experiment, environ)
    try:
        return sum(name.endswith(".json") and not name.startswith(".")
                   for name in os.listdir(str(directory)))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageError("cannot read %s, where results wait for the server: %s"
                           % (directory, error.strerror)) from None
