"""The options of `jd_server`: flags and JD_SERVER_* variables become values."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, NoReturn

import jd
from jd import settings
from jd.errors import UsageError
from jd.protocol import ProtocolError
from jd.server.store.operators import options
from jd.suggestion import closest

# Options that are fields of Policy: people can change those on the dashboard too.
_POLICY = {"idle-timeout": "lease", "aborted-job-reset-timeout": "retry_pause",
           "max-attempts": "max_attempts", "pause-failing": "pause_failing", "pause-broken": "pause_broken",
           "stop-when": "stop_when", "max-jobs": "max_jobs", "max-hours": "max_hours"}

# Tried after a default port that is taken, so that the API's do not reach the dashboard's default, nor
# these the Hub's.
OTHER_PORTS = 29


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "see jd_server --help")


def _meant(unknown: List[str], table: List[settings.Setting]) -> str:
    """What to say of arguments that there are not; those of jd_worker_cli are key=value."""
    name, separator, value = unknown[0].partition("=")
    close = closest(name, [setting.name for setting in table])
    if close is None:
        return ""
    if next(setting for setting in table if setting.name == close).is_flag:
        return "did you mean --%s?" % close
    after = value if separator else (unknown[1:] or [""])[0]
    return "did you mean --%s %s?" % (close, shlex.quote(after) if after.isprintable() and after else "...")


def parse(argv: List[str], environ: Mapping[str, str]) -> Dict[str, Any]:
    """Settings by key, from flags and JD_SERVER_* variables. `fixed` is the set of fields of Policy
    that were given, rather than left to the dashboard, `given` the names of the options on the command line.
    Raises UsageError."""
    parser = _Parser(prog="jd_server", allow_abbrev=False,
                     description="Serve the jobs of one experiment to workers.",
                     epilog="Every option can also be set by the variable in brackets. jd_server pin --help "
                            "tells how to change the PIN of a dashboard, jd_server checkpoint --help how to "
                            "accept checkpoints that no worker of yours has signed. jd_server list shows "
                            "the experiments of a workspace, check looks whether one is sound, backup and "
                            "restore copy all of it, archive makes a file to keep, remove removes it: "
                            "each has --help.")
    table = [setting for setting in settings.SERVER if setting.argument]
    for setting in table:
        text = setting.help if setting.variable is None else "%s [%s]" % (setting.help, setting.variable)
        if setting.default is not None and not setting.is_flag:
            text += " (%s)" % setting.default
        if setting.is_flag:
            parser.add_argument("--" + setting.name, dest=setting.key, action="store_const",
                                const="true", help=text)
        else:
            parser.add_argument("--" + setting.name, dest=setting.key, metavar=setting.metavar,
                                action="append" if setting.many else "store", help=text)
    parser.add_argument("--version", action="version", version="jd_server " + jd.__version__)
    parsed, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UsageError("unrecognized arguments: %s" % " ".join(unknown),
                         _meant(unknown, table) or "see jd_server --help")
    given = vars(parsed)
    named = {setting.name: given[setting.key] for setting in table
             if given[setting.key] is not None and not setting.many}
    for name in ("allow-user", "trusted-proxy"):
        if given[name.replace("-", "_")]:
            named[name] = ",".join(given[name.replace("-", "_")])
    of_own_hub = [setting for setting in settings.SERVER if setting.name == "hub-data"]
    values = settings.resolve([setting for setting in settings.SERVER if setting not in of_own_hub],
                              named, environ, style="--%s")
    if values["with_hub"]:
        # Its default needs a home directory, which other servers can do without.
        values.update(settings.resolve(of_own_hub, named, environ, style="--%s"))
    values["given"] = [setting.name for setting in table if given[setting.key] is not None]
    values["fixed"] = frozenset(
        _POLICY[setting.name] for setting in table
        if setting.name in _POLICY and settings.lookup(setting, named, environ) is not None)
    try:
        options.check_target(values["stop_when"] or "")
    except ProtocolError as error:
        raise UsageError("--stop-when: %s" % error, "see jd_server --help") from None
    values["other_ports"] = tuple(
        0 if settings.lookup(setting, named, environ) is not None else OTHER_PORTS
        for setting in table if setting.name in ("port", "dashboard-port"))
    if given["jobs"]:
        values["jobs"] = [Path(name) for name in given["jobs"]]
    if values["expId"] is None:
        raise UsageError("--expId NAME is missing: the experiment to serve", "see jd_server --help")
    say_lowered(named, environ)
    return values


def say_lowered(named: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Say on stderr if the experiment was named with upper-case letters, which are taken as lower case."""
    for text in settings.lowered(named, environ, settings.SERVER, "--%s"):
        print("note: " + text, file=sys.stderr, flush=True)
