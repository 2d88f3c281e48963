"""`health.py worker|server|hub`: exit status 0 if what this container is for is there, else 1.

A server or Hub must answer GET /healthz. A worker must run; whether it reaches its server is not
asked, since to restart it would not help, and would interrupt its job. Ports and certificates are
read from the JD_* variables, so a health-checked container gets them as variables.
"""

import json
import os
import ssl
import subprocess
import sys
from typing import List, Mapping
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

TIMEOUT = 5.0  # seconds, below that of HEALTHCHECK
_DEFAULT_PORT = {"SERVER": "5000", "HUB": "5080"}
_WORKER_CLI = "/opt/jd/commands/jd_worker_cli"


def url(kind: str, environ: Mapping[str, str]) -> str:
    """Where a server or Hub of this container answers: `kind` is SERVER or HUB."""
    def given(name: str) -> str:
        return environ.get("JD_%s_%s" % (kind, name), "").strip()

    host = given("HOST")
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return "%s://%s:%s/healthz" % ("https" if given("TLS_CERT") else "http",
                                   "[%s]" % host if ":" in host else host,
                                   given("PORT") or _DEFAULT_PORT[kind])


def ask(address: str) -> None:
    """Raises OSError unless the answer is a 200."""
    # Its certificate is for the name that others use, and this is the same container.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    with opener.open(address, timeout=TIMEOUT) as answer:
        answer.read(65536)


def running_workers(environ: Mapping[str, str]) -> int:
    """How many workers run in this container. Raises OSError or ValueError if that cannot be told."""
    done = subprocess.run([_WORKER_CLI, "exp-list", "json=true"], capture_output=True, timeout=30,
                          env=dict(environ, JD_SKIP_REGISTRY_PRUNE="1"))
    said = done.stderr.decode(errors="replace").strip().splitlines()
    # One registry that cannot be read is said, and the others are still listed.
    if not done.stdout.strip():
        raise ValueError(said[-1] if said else "exp-list ended with status %d" % done.returncode)
    return sum(int(experiment["workers"]) for experiment in json.loads(done.stdout.decode()))


def main(argv: List[str]) -> int:
    """One line says what is wrong."""
    if len(argv) != 1 or argv[0] not in ("worker", "server", "hub"):
        print("usage: health.py worker|server|hub", file=sys.stderr)
        return 1
    try:
        if argv[0] == "worker":
            if running_workers(os.environ) == 0:
                raise ValueError("no worker runs")
        else:
            ask(url(argv[0].upper(), os.environ))
    except (OSError, URLError, ValueError, subprocess.SubprocessError) as error:
        print("unhealthy: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
