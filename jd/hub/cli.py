"""`jd_hub`: sub-commands, flags and variables → a running Hub, or a change to its data."""

import argparse
import io
import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

import jd
from jd import settings
from jd.auth import secretfile
from jd.auth.jwt import WORK
from jd.errors import EXIT_OK, EXIT_USAGE, UsageError, run_command
from jd.hub import commands
from jd.hub.commands import SECRET, Command, Report
from jd.hub.data import HubData
from jd.hub.store.experiments import SHARED_ROLES
from jd.protocol import ProtocolError
from jd.terminal import is_terminal

_EVERYWHERE = ("data", "json")
_LINKS = _EVERYWHERE + ("base-url",)


def entry() -> int:
    """The console script."""
    return run_command(main)


def main(argv: List[str]) -> int:
    """Run one command line."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.words is None:
        parser.print_help()
        return EXIT_USAGE
    values = values_of(arguments, os.environ)
    if arguments.command is None:
        for text in settings.service_links(settings.HUB, os.environ):
            print("warning: " + text, file=sys.stderr)
        from jd.hub import serve  # brings asyncio and the HTTP server, which no other command needs
        return serve.run(values)
    arguments.base_url = values.get("base_url")
    data = HubData(values["data"], create=arguments.command is commands.user_add,
                   own=os.geteuid() != 0)
    try:
        report = arguments.command(data, arguments)
    except ProtocolError as error:
        raise UsageError(str(error)) from None
    finally:
        data.close()
    _show(report, values["json"])
    return EXIT_OK


def _show(report: Report, as_json: bool) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A key's name must not make a listing fail on a terminal that knows ASCII only.
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        print(json.dumps(report.facts))  # a program has asked for it
        return
    text = "\n".join(report.lines)
    if report.secret is not None and is_terminal(sys.stdout):
        text = text.replace(SECRET, report.secret.text)
    elif report.secret is not None:
        secretfile.keep(report.secret.file, report.secret.text)
        # An assignment is there to be copied into a shell.
        text = text.replace("=" + SECRET, '="$(cat %s)"' % shlex.quote(str(report.secret.file)))
        text = text.replace(SECRET, "in %s" % report.secret.file)
    print(text)


def values_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Dict[str, Any]:
    """The settings that the command takes, by key. Raises UsageError."""
    table = [setting for setting in settings.HUB if setting.name in arguments.words]
    given = {setting.name: getattr(arguments, _dest(setting)) for setting in table
             if hasattr(arguments, _dest(setting))}
    given.update({setting.name: ",".join(given[setting.name]) for setting in table
                  if setting.many and setting.name in given})
    return settings.resolve(table, given, environ, style="--%s")


# ---- the parser

class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "see %s --help" % self.prog)


if TYPE_CHECKING:  # at run time argparse has no generic types
    _Commands = argparse._SubParsersAction[_Parser]


def make_parser() -> argparse.ArgumentParser:
    """The whole command line. What `--data` and `--json` say may stand before or after the command."""
    parser = _Parser(
        prog="jd_hub",
        description="The Hub: accounts, API keys, experiments, and tokens for their workers.",
        epilog="Start with: jd_hub serve. The other commands work beside it, on the same --data; "
               "jd_hub COMMAND --help tells more.")
    parser.set_defaults(words=None, command=None)
    parser.add_argument("--version", action="version", version="jd_hub " + jd.__version__)
    _add_settings(parser, _EVERYWHERE)
    groups = parser.add_subparsers(metavar="COMMAND [ACTION]", title="commands")
    serve = _leaf(groups, "serve", None, "run the Hub until Ctrl-C or SIGTERM",
                  tuple(setting.name for setting in settings.HUB))
    serve.epilog = "The first start prints a link with which the first administrator signs up."
    _add_user(_group(groups, "user", "add, list, suspend and resume users"))
    _add_key(_group(groups, "key", "create, list and revoke API keys"))
    _add_experiment(_group(groups, "experiment",
                           "create, list, delete, transfer, share experiments, reset PINs"))
    _leaf(groups, "backup", commands.make_backup, "copy the database while the Hub runs").add_argument(
        "file", metavar="FILE", help="a file that does not exist yet")
    return parser


def _add_user(group: "_Commands") -> None:
    add = _leaf(group, "add", commands.user_add, "add a user and print their sign-up link", _LINKS)
    _email(add)
    add.add_argument("--admin", action="store_true", help="make them an administrator")
    _email(_leaf(group, "link", commands.user_link,
                 "print a new sign-up link, also for a forgotten password", _LINKS))
    _leaf(group, "list", commands.user_list, "list the users")
    _email(_leaf(group, "suspend", commands.user_suspend, "refuse a user's keys and revoke tokens"))
    _email(_leaf(group, "resume", commands.user_resume, "take a suspended user's keys again"))


def _add_key(group: "_Commands") -> None:
    create = _leaf(group, "create", commands.key_create, "create an API key and print it")
    _user(create, "whose key it is", True)
    create.add_argument("--name", metavar="NAME", required=True, help="what it is for, e.g. laptop")
    _user(_leaf(group, "list", commands.key_list, "list API keys"), "only keys of this user", False)
    _leaf(group, "revoke", commands.key_revoke, "refuse an API key from now on").add_argument(
        "id", metavar="ID", type=_key_id, help="its number in the list")


def _add_experiment(group: "_Commands") -> None:
    create = _leaf(group, "create", commands.experiment_create, "create an experiment")
    _name(create)
    _user(create, "its owner", True)
    listing = _leaf(group, "list", commands.experiment_list, "list experiments")
    _user(listing, "only those that this user owns or has a share of", False)
    listing.add_argument("--all", action="store_true", help="deleted ones as well")
    delete = _leaf(group, "delete", commands.experiment_delete,
                   "delete an experiment; its job server and its workers are told to stop")
    _name(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask, as it does on a terminal")
    _name(_leaf(group, "pin-reset", commands.experiment_pin_reset,
                "make up another PIN for the dashboard and print it"))
    for name, command, text in (
            ("transfer", commands.experiment_transfer, "give an experiment to another user"),
            ("share", commands.experiment_share, "let the workers of another user in"),
            ("unshare", commands.experiment_unshare, "take a share back")):
        leaf = _leaf(group, name, command, text)
        _name(leaf)
        _email(leaf)
        if command is commands.experiment_share:
            leaf.add_argument("--role", choices=SHARED_ROLES, default=WORK, help=(
                "work: run jobs, and nothing more (the default); edit: also create jobs, see all of them and "
                "download what they uploaded. Sharing again changes it"))


def _group(groups: "_Commands", name: str, text: str) -> "_Commands":
    parser = groups.add_parser(name, help=text, description=_sentence(text))
    _add_settings(parser, _EVERYWHERE)
    actions = parser.add_subparsers(metavar="ACTION", title="actions", dest="action")
    actions.required = True
    return actions


def _leaf(groups: "_Commands", name: str, command: Optional[Command], text: str,
          words: Tuple[str, ...] = _EVERYWHERE) -> argparse.ArgumentParser:
    """One command, with the settings that it takes."""
    parser = groups.add_parser(name, help=text, description=_sentence(text))
    parser.set_defaults(words=words, command=command)
    _add_settings(parser, words)
    return parser


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _add_settings(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    for setting in settings.HUB:
        if setting.name not in words:
            continue
        text = "%s [%s]" % (setting.help, setting.variable)
        if setting.default is not None and not setting.is_flag:
            text += " (%s)" % setting.default
        # Suppressed: a command must not undo with a default what was given before it.
        if setting.is_flag:
            parser.add_argument("--" + setting.name, dest=_dest(setting), action="store_const",
                                const="true", default=argparse.SUPPRESS, help=text)
        else:
            parser.add_argument("--" + setting.name, dest=_dest(setting), metavar=setting.metavar,
                                action="append" if setting.many else "store",
                                default=argparse.SUPPRESS, help=text)


def _dest(setting: settings.Setting) -> str:
    return "setting_" + setting.key


def _email(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("email", metavar="EMAIL", help="the user's email address")


def _user(parser: argparse.ArgumentParser, text: str, required: bool) -> None:
    parser.add_argument("--user", metavar="EMAIL", required=required, default=None, help=text)


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", type=str.lower,
                        help="the experiment: a-z 0-9 -, 2 to 47 of them; upper case is taken as lower case")


def _key_id(text: str) -> int:
    if not text.isdecimal() or len(text) > 16 or not 1 <= int(text) < 2 ** 53:
        raise argparse.ArgumentTypeError("%r is no key's number; see: jd_hub key list" % text[:40])
    return int(text)
