"""`jd_worker_cli`, `jd_worker_cli -i`: interactive mode.

It begins when the Hub knows the API key (reference, section 2, "Interactive mode"), or at once for
a job server that is named, or that the user's own access file names and no key says otherwise.
"""

import getpass
import sys
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional

from jd import settings
from jd.auth import hubtoken
from jd.auth.hubtoken import Access, HubRefused
from jd.cli import completing
from jd.cli.catalog import argument
from jd.cli.context import Context
from jd.cli.shell import history
from jd.cli.shell.repl import Repl
from jd.errors import JdError, StorageError, UsageError
from jd.net.finding import accessfile
from jd.terminal import is_terminal

PROMPTS = 3
_OR_SERVER = ("or give server= for a job server without a Hub (one of your own needs no word, while its "
              "access file is there)")

Ask = Callable[[str], str]


def run(context: Context) -> int:
    """Talk to a terminal, or run what standard input holds; returns the exit status."""
    context.words_exactly(0)
    environ = _with_arguments(context)
    ask: Optional[Ask] = getpass.getpass if is_terminal(sys.stdin) else None
    if not _has_server(environ):
        environ["JD_API_KEY"] = checked_key(environ, ask)
    if ask is None:
        return Repl(environ).script()
    readline = history.import_readline()
    repl = Repl(environ, history.History(environ, readline))
    if readline is not None:
        history.complete_with(
            readline, lambda words: completing.candidates(words, repl.environ, inside=True))
    return repl.talk()


def _has_server(environ: Mapping[str, str]) -> bool:
    """Whether a server is named, or found without a Hub: that of the experiment, or any where none is
    given."""
    if any(settings.lookup(argument(name), {}, environ) for name in ("server", "port")):
        return True
    if environ.get("JD_API_KEY", "").strip():
        return False
    experiment = settings.value_of(settings.WORKER, "expId", environ)
    try:
        files = accessfile.found(environ) if experiment is None else (
            accessfile.path_of(experiment, environ),)
    except UsageError:
        return False  # no home directory
    return any(_is_standalone(path) for path in files)


def _is_standalone(path: Path) -> bool:
    """Whether an access file is of a server without a Hub. What is wrong with it the commands say."""
    try:
        place = accessfile.read(path)
    except StorageError:
        return True
    return place is not None and place.hub is None


def checked_key(environ: Mapping[str, str], ask: Optional[Ask]) -> str:
    """An API key that the Hub knows: that of the environment, else what `ask` answers, 3 times.

    Raises JdError where there is none, and what `hubtoken.check_key` raises where nothing can be
    said about it. Without `ask` nobody can be asked.
    """
    url = hubtoken.hub_url({}, environ, settings.value_of(settings.WORKER, "expId", environ))
    key = environ.get("JD_API_KEY", "").strip()
    if not key and ask is None:
        raise UsageError("an API key is needed, and standard input is no terminal to ask for it",
                         "set JD_API_KEY (keys are made at %s%s), %s"
                         % (url, hubtoken.KEYS_PAGE, _OR_SERVER))
    asked = 0
    while True:
        if not key and ask is not None:
            if not asked:
                print("An API key of the Hub is needed; keys are made at %s%s" % (
                    url, hubtoken.KEYS_PAGE), file=sys.stderr)
            asked += 1
            try:
                key = ask("API key: ").strip()
            except EOFError:
                print(file=sys.stderr)
                raise JdError("no API key was given", "set JD_API_KEY, %s" % _OR_SERVER) from None
        problem = _problem(url, key)
        if problem is None:
            return key
        if ask is None or asked >= PROMPTS:
            raise problem
        print("error: %s" % problem, file=sys.stderr)
        key = ""


def _problem(url: str, key: str) -> Optional[JdError]:
    """What is wrong with a key; None if the Hub knows it."""
    try:
        settings.parse_given(argument("api_key"), settings.Given(key, "the API key"))
        hubtoken.check_key(Access(url, key))
    except (UsageError, HubRefused) as error:
        return error
    return None


def _with_arguments(context: Context) -> Dict[str, str]:
    """The variables of the session: what was given on the command line stands for each line."""
    environ = dict(context.environ)
    for key, value in context.arguments.items():
        variable = argument(key).variable
        if variable is not None:
            environ[variable] = value
    if context.experiment is not None:
        environ["JD_EXP_ID"] = context.experiment  # as it is really called
    return environ
