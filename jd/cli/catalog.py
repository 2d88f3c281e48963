"""Every command of `jd_worker_cli`, declared once: help, completion, docs and checks derive from it.

A command is a module with `run(context: Context) -> int`, named after it with `_` for `-`, in the room of its
group: see `Group`. `arguments` are the keys that it takes besides `expId`; any other key is refused.
"""

from __future__ import annotations

from jd import settings
from jd.settings import Setting

PROGRAM = "jd_worker_cli"
RUN = "run"
INTERACTIVE = "interactive"
PARAMETER = "param."  # with a name it is a key: each job has a value of it
COMPLETION = "completion"

# How to reach the job server; without them it is the one that the workers here were started with.
_SERVER = ("server", "port", "api_key", "hub", "trust_user")
# Every command takes these, as every command has the variables: scripts give them always. Those that have no
# use for them say so.
ANYWHERE = _SERVER
_ANY_PARAMETER = PARAMETER + "<name>"
# Of commands that change many jobs.
_ASKS = "On a terminal it shows how many jobs these are and asks, but with yes=true."
# More optional keys than this are not listed in a line of usage.
_SHOWN_KEYS = 4


class Command:
    """One command. `words` shows what may follow it; `experiment` is "needed", "taken" or "".

    `required` are those of `arguments` that must be given. `detail` goes on where the summary ends.
    """

    def __init__(self, name: str, summary: str, words: str = "", experiment: str = "",
                 arguments: tuple[str, ...] = (), examples: tuple[str, ...] = (), detail: str = "",
                 required: tuple[str, ...] = ()) -> None:
        self.name = name
        self.summary = summary
        self.words = words
        self.experiment = experiment
        self.arguments = arguments
        self.examples = examples
        self.detail = detail
        self.required = required

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that it takes."""
        return (("expId",) if self.experiment else ()) + self.arguments

    def setting(self, key: str) -> Setting:
        """Its setting of a key, which may mean another thing where workers are started."""
        return argument(key) if self.name == RUN else _OF_COMMANDS.get(key) or argument(key)

    @property
    def usage(self) -> str:
        """How it is typed, without the program's name."""
        parts = {"needed": [shown_key("expId")], "taken": ["[%s]" % shown_key("expId")],
                 "": []}[self.experiment]
        parts += ["[run]" if self.name == RUN else self.name] + ([self.words] if self.words else [])
        parts += [shown_key(key) for key in self.required]
        optional = ["[%s]" % shown_key(key) for key in self.arguments
                    if key not in self.required and shown_key(key) not in self.words]
        parts += ["[key=value ...]"] if len(optional) > _SHOWN_KEYS else optional
        return " ".join(parts)


def argument(key: str) -> Setting:
    """The setting of a key. Raises KeyError."""
    return _BY_KEY[family(key)]


def family(key: str) -> str:
    """The key as it stands in the catalogue: all parameters are one."""
    return _ANY_PARAMETER if key.startswith(PARAMETER) and key != PARAMETER else key


def words_of(key: str) -> tuple[str, ...]:
    """The values that a key can have, where they are words."""
    setting = argument(key)
    if setting.is_flag:
        return ("true", "false")
    return tuple(setting.metavar.split("|")) if "|" in setting.metavar else ()


def shown_key(key: str) -> str:
    """A key with what it takes: `num_workers=<N>`, `once=true`."""
    setting = argument(key)
    if setting.is_flag or words_of(key):
        return "%s=%s" % (key, "true" if setting.is_flag else setting.metavar)
    return "%s=<%s>" % (key, setting.metavar if setting.metavar == "N" else setting.metavar.lower())


class Group:
    """Commands that stand below one title, in help and docs. Their files lie in `room` of jd/cli/commands/,
    or in that folder itself."""

    def __init__(self, title: str, commands: tuple[Command, ...], room: str = "") -> None:
        self.title = title
        self.commands = commands
        self.room = room


def module_of(name: str) -> str:
    """The module of a command."""
    room = next(group.room for group in GROUPS if COMMANDS[name] in group.commands)
    return ".".join(["jd.cli.commands"] + ([room] if room else []) + [name.replace("-", "_")])


_OF_COMMANDS: dict[str, Setting] = {setting.name: setting for setting in settings.MANAGEMENT}
_BY_KEY: dict[str, Setting] = dict(
    _OF_COMMANDS, **{setting.name: setting for setting in settings.WORKER if setting.argument})

_LAUNCH = tuple(s.name for s in settings.WORKER if s.argument and s.name != "expId")

GROUPS: tuple[Group, ...] = (
    Group("Start", (
        Command(RUN, "start workers; the word can be left out", "", "needed", _LAUNCH,
                ("expId=digits-tune entry_script=train.py",
                 "expId=digits-tune entry_script=train.py num_workers=4 machine_type=gpu",
                 "expId=digits-tune entry_script=train.py foreground=true once=true",
                 "expId=digits-tune entry_script=train.py server=192.168.1.10 port=8000"),
                "A worker asks the server for a job, runs the script with the job's parameters, "
                "reports how it ended, and asks for the next.", ("entry_script",)),
        Command(INTERACTIVE, "a shell for managing workers; also -i, or no arguments at all", "",
                "taken", _SERVER, ("", "-i expId=digits-tune"),
                "Commands are typed without jd_worker_cli in front, and without expId= once "
                "`use <name>` has set it."),
    )),
    Group("Look", (
        Command("exp-list", "experiments on this machine, with worker counts", "", "", ("json",)),
        Command("exp-status", "an experiment: workers, busy and idle, draining", "", "needed",
                ("json", "watch") + _SERVER),
        Command("worker-list", "running workers: id, pid, status, current job", "", "needed",
                ("json", "watch"), ("expId=digits-tune worker-list",)),
        Command("worker-status", "one worker: uptime, current job, last heartbeat, log",
                "<worker-id>", "needed", ("json",),
                ("expId=digits-tune worker-status gpunode_egg_0",)),
        Command("worker-logs", "print or follow the log of a worker", "<worker-id>", "needed",
                ("lines", "follow"),
                ("expId=digits-tune worker-logs gpunode_egg_0 lines=200 follow=true",)),
        Command("job-logs", "print or follow what a job has printed", "<job>", "needed",
                ("attempt", "lines", "follow", "json") + _SERVER,
                ("expId=digits-tune job-logs 42", "expId=digits-tune job-logs 42 attempt=1 lines=200",
                 "expId=digits-tune job-logs 42 follow=true"),
                "It comes from the server, wherever the job ran: all that is kept of the latest attempt, or "
                "the last lines=N."),
        Command("server-info", "from the server: job counts, rate, ETA, workers, failures", "", "needed",
                _SERVER + ("json", "watch"), ("expId=digits-tune server-info watch=true",),
                "In the bar # is done, x failed for good, > runs and . waits. Rate, ETA, workers and "
                "failures are shown where the server tells them: one of the base protocol does not."),
        Command("where", "paths of registry, job data and logs; the server, and how it is found", "",
                "needed", ("json", "log_dir") + _SERVER),
        Command("show-config", "launch configuration of a worker", "<worker-id>", "needed",
                ("json",)),
    ), "look"),
    Group("Drive a sweep", (
        Command("submit", "create jobs: of a file, or all combinations of values",
                "<file>|param.<name>=<value,...>", "needed",
                ("param.<name>", "unique", "tags", "after", "needs", "timeout", "priority", "json") + _SERVER,
                ("expId=digits-tune submit jobs.csv",
                 "expId=digits-tune submit param.lr=0.1,0.01 param.depth=2,4 unique=true",
                 "expId=digits-tune submit jobs.json needs=gpu timeout=2h priority=10",
                 "expId=digits-tune submit test.csv tags=final after=1-64"),
                "The file is .json, .jsonl, .csv, .tsv or .tab. after= has these jobs wait until others are "
                "DONE. A value that reads as a number, true, false or null "
                "is one, any other is text; a value with a comma stands in double quotes."),
        Command("jobs", "jobs by id: parameters, status, why they failed, when they are tried again", "",
                "needed", ("where", "lines", "json") + _SERVER,
                ("expId=digits-tune jobs", "expId=digits-tune jobs where='status=ABORTED lr>0.01' lines=200"),
                "There are lines=N of them; with json=true all, unless lines= is given."),
        Command("job", "one job: parameters, results, attempts, files", "<job>", "needed",
                ("json",) + _SERVER, ("expId=digits-tune job 42",),
                "What it has printed is told by job-logs."),
        Command("results", "jobs with their parameters and what came out", "", "needed",
                ("where", "metric", "goal", "lines", "csv", "json") + _SERVER,
                ("expId=digits-tune results metric=accuracy",
                 "expId=digits-tune results where='status=DONE depth=4' metric=val.loss goal=min lines=5",
                 "expId=digits-tune results csv=results.csv"),
                "With metric= the best come first, and jobs without that number are left out; else they "
                "come by id. There are lines=N of them, with json=true all unless lines= is given. csv= "
                "writes all, by id. Numbers of lists, as loss.0, stand in these two alone."),
        Command("wait", "wait until jobs are finished", "", "needed", ("where", "timeout", "json") + _SERVER,
                ("expId=digits-tune wait", "expId=digits-tune wait where='id>100' timeout=2h"),
                "Exit status: 0 if all are DONE, 1 if some have ended otherwise, 3 if the time is over. A "
                "failed job that is tried again has not ended. Ctrl-C ends the waiting, with 130, and no "
                "job: the same command waits again."),
        Command("retry", "have jobs run again: these, or those of a filter; else all that failed",
                "[<job>...]", "needed", ("where", "yes", "json") + _SERVER,
                ("expId=digits-tune retry", "expId=digits-tune retry 42 43",
                 "expId=digits-tune retry where='status=ABORTED lr<0.1' yes=true"), _ASKS),
        Command("cancel", "end jobs that wait or run, for good; retry takes them back", "all|<job>...",
                "needed", ("where", "yes", "json") + _SERVER,
                ("expId=digits-tune cancel where='lr>1'", "expId=digits-tune cancel 42 43",
                 "expId=digits-tune cancel all yes=true"),
                "Workers end the scripts of jobs that run. " + _ASKS),
        Command("fetch", "fetch the files of jobs into <dest>/<job>/", "[<job>...]", "needed",
                ("dest", "where", "files", "json") + _SERVER,
                ("expId=digits-tune fetch dest=results",
                 "expId=digits-tune fetch dest=models where='accuracy>0.9' files='*.pt,*.json'"),
                "Files that are there whole already are not fetched again, so a call that was broken off "
                "goes on where it was.", ("dest",)),
        Command("pause", "hand out no more jobs; those that run go on", "", "needed", ("json",) + _SERVER),
        Command("resume", "hand out jobs again", "", "needed", ("json",) + _SERVER),
    ), "sweep"),
    Group("Control", (
        Command("stop", "stop workers: SIGTERM, then SIGKILL after 30 s",
                "all|<worker-id>|job=<N>|all-experiments", "taken", ("job", "confirm-stop", "json"),
                ("expId=digits-tune stop all", "expId=digits-tune stop gpunode_egg_0",
                 "expId=digits-tune stop job=42", "expId=digits-tune stop all confirm-stop=true",
                 "stop all-experiments"),
                "expId= is needed for all of these but all-experiments."),
        Command("confirm-stop", "stop all workers after typing the experiment name", "", "needed"),
        Command("restart", "stop workers and start them with their stored configuration",
                "all|<worker-id>", "needed"),
        Command("scale", "start or stop workers until there are exactly so many", "", "needed",
                ("num_workers",), ("expId=digits-tune scale num_workers=8",),
                required=("num_workers",)),
        Command("slurm-scale", "keep as many Slurm array tasks as the pending jobs justify", "", "needed",
                ("template", "max_workers", "jobs_per_task", "sbatch_args", "apply", "once",
                 "interval") + _SERVER,
                ("expId=digits-tune slurm-scale",
                 "expId=digits-tune slurm-scale max_workers=32 apply=true once=true",
                 "expId=digits-tune slurm-scale apply=true sbatch_args='-p short -t 2:00:00'"),
                "Without apply=true it says what it would submit. With it, it goes on until Ctrl-C; "
                "with once=true as well it looks once."),
        Command("drain", "workers finish their current job, then exit", "", "needed", (),
                ("expId=digits-tune drain",),
                "Workers of published clients, and on other hosts that share the registry, read it there, "
                "after their job or within minutes. Workers that are launched later do not drain."),
    ), "control"),
    Group("Clean up", (
        Command("prune", "remove what dead workers left in all registries", "", "taken", ("host", "json"),
                ("prune", "prune host=5d2c5ddbbd43", "expId=digits-tune prune host=old-laptop"),
                "Every command but help, version, doctor and completion begins with the same clean-up; this "
                "one says what it did. host= is for containers and machines that are gone, of which nothing "
                "can be told from here: of one experiment with expId=, else of all."),
        Command("clear_all", "wipe the local cache of all experiments", arguments=("confirm-clear-all",),
                detail="Job directories and logs stay. It asks first, but with confirm-clear-all=true."),
    )),
    Group("Other", (
        Command("health", "whether server and Hub can be reached", "", "taken",
                _SERVER + ("json",), ("health", "health server=192.168.1.10 port=8000")),
        Command("doctor", "what would go wrong on this node, and what to do", "", "taken",
                _SERVER + ("json",)),
        Command(COMPLETION, "print a completion script for a shell", "bash|zsh|fish", "", (),
                ("completion bash > ~/.local/share/bash-completion/completions/jd_worker_cli",
                 "completion zsh > ~/.zfunc/_jd_worker_cli",
                 "completion fish > ~/.config/fish/completions/jd_worker_cli.fish"),
                "For the shell that is open: source <(jd_worker_cli completion bash)"),
        Command("version", "package version, Python and cache directory", "", "", ("json",)),
        Command("help", "this text, or one command's", "[<command>]", "", (), ("help stop",)),
    )),
)

COMMANDS: dict[str, Command] = {
    command.name: command for group in GROUPS for command in group.commands}
ALIASES: dict[str, str] = {"-h": "help", "--help": "help", "-V": "version", "--version": "version",
                           "-i": INTERACTIVE, "--interactive": INTERACTIVE, "clear-all": "clear_all"}
# Another word for a key, as published clients take it.
KEY_ALIASES: dict[str, str] = {"hub_url": "hub"}

# What only interactive mode has (reference, section 2, "Interactive mode").
SHELL_COMMANDS: dict[str, Command] = {command.name: command for command in (
    Command("use", "set the experiment of the session; without a name, show it", "[<name>]"),
    Command("exit", "leave; also quit, \\q or Ctrl-D"),
)}
SHELL_ALIASES: dict[str, str] = {"\\h": "help", "?": "help", "\\q": "exit", "quit": "exit"}
