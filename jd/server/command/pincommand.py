"""`jd_server pin set|reset`: another PIN for a dashboard, whether its server runs or not."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from jd.auth import pins, secretfile
from jd.errors import EXIT_OK, UsageError
from jd.server import dashboardpin
from jd.server.command import pinsource
from jd.server.command.datacommand import Parser
from jd.server.store import direct
from jd.server.store.operators import pin as stored_pin
from jd.terminal import is_terminal

_WORDS = ("expId", "workspace_path", "pin-file", "json")


def main(argv: List[str], environ: Mapping[str, str]) -> int:
    """Run `jd_server pin …`, without these two words. Raises JdError."""
    values = options(argv, environ)
    database = direct.find(values["workspace_path"], values["expId"])
    resetting = values["action"] == "reset"
    chosen = pins.new_pin() if resetting else _chosen(values["pin_file"])
    encoded = pins.encode(chosen)
    signed_out = direct.write(database, lambda t: stored_pin.change(t, encoded))
    file = dashboardpin.file_of(database.parent)
    secretfile.forget(file)
    told = None
    if resetting and not values["json"] and is_terminal(sys.stdout):
        told = chosen
    elif resetting:
        secretfile.keep(file, chosen)
        told = "in %s" % file
    _report(values, told, file if resetting else None, signed_out)
    return EXIT_OK


def _report(values: Dict[str, Any], told: Optional[str], file: Optional[Path], signed_out: int) -> None:
    if values["json"]:
        facts = {"expId": values["expId"], "signed_out": signed_out}
        print(json.dumps(facts if file is None else dict(facts, pin_file=str(file))))
        return
    print("new PIN for the dashboard of %s%s" % (values["expId"], "" if told is None else ": " + told))
    print("everybody has to sign in again (%d signed out)" % signed_out)


def _chosen(file: Optional[Path]) -> str:
    """The PIN of the file, of a person at a terminal, or of the first line that comes in."""
    if file is not None:
        return pinsource.read_file(file)
    if sys.stdin.isatty():
        try:
            pin = getpass.getpass("New PIN: ").strip()
            pins.check(pin)
            if getpass.getpass("Once more: ").strip() != pin:
                raise UsageError("the two PINs differ; nothing was changed")
        except EOFError:
            raise UsageError("no PIN was given; nothing was changed") from None
    else:
        pin = sys.stdin.readline(pinsource.MAX_FILE_BYTES).strip()
        pins.check(pin)
    return pin


def options(argv: List[str], environ: Mapping[str, str]) -> Dict[str, Any]:
    """What to do and where. Raises UsageError."""
    parser = Parser(
        "jd_server pin",
        "Set or reset the PIN of a dashboard, while its server runs or not. Everybody is signed out.",
        "set asks for the PIN on a terminal, else it reads it from the standard input. A server "
        "that is started with --pin-file or JD_SERVER_PIN takes that PIN again.",
        _WORDS, {"pin-file": " (set)"})
    parser.add_argument("action", choices=("set", "reset"),
                        help="set: choose one; reset: have one made up, and shown on a terminal or else "
                             "kept in a file")
    # The variable of --pin-file is for the start of the server: here it would answer for who is asked.
    others = {name: value for name, value in environ.items() if name != "JD_SERVER_PIN_FILE"}
    values = parser.values(argv, others, "the dashboard")
    if values["action"] == "reset" and values["pin_file"] is not None:
        raise UsageError("--pin-file is for jd_server pin set; reset makes a PIN up")
    return values
