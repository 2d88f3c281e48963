"""How the entry script is called for one job: its command line, and what follows from it."""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

from jd.errors import UsageError
from jd.messages import Assignment
from jd.protocol import ProtocolError
from jd.worker.attempt.calling import advice, entry, flags, placeholders
from jd.worker.attempt.calling.entry import Command
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.config import WorkerConfig
from jd.worker.verdict import Ended


class Calling(NamedTuple):
    """The whole command line, and how its interpreter is started; variables that carry parameters; what the
    job's history is to say; what to do, of a script that has ended."""

    words: List[str]
    command: Command
    variables: Dict[str, str]
    note: str
    advise: Callable[[Ended], str]


def calling(config: WorkerConfig, assignment: Assignment, job_dir: Path) -> Calling:
    """How the script of `config` is called for a job whose placeholders are filled in.

    Raises StartFailure for a script that cannot be run, or parameters that it cannot be given.
    """
    script, parameters = config.entry_script, assignment.parameters
    style = assignment.flags or config.flags
    try:
        source = entry.source(script)
        command = entry.command(entry.of(config), source)
        words = [*command.words,
                 *placeholders.filled_words(config.args, assignment, config.experiment, job_dir),
                 *flags.words(style, parameters)]
        if flags.takes_base_path(source, config.base_path, style, parameters):
            words += ["--" + flags.BASE_PATH, str(job_dir)]
        return Calling(words, command, flags.variables(style, parameters),
                       advice.beforehand(style, parameters, source),
                       lambda ended: advice.afterwards(style, parameters, ended, source))
    except (ProtocolError, UsageError) as error:
        raise StartFailure(str(error)) from None
    except OSError as error:
        raise StartFailure("cannot read the entry script %s: %s" % (script, error.strerror)) from None
