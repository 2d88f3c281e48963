"""Every argument and JD_* variable, declared once: name, variable, default, parser, help.

The command lines, `help`, the documentation and its tests derive from these tables. A value comes
from the command line, else from the variable, else from the default; whichever it is, the same
parser checks it, and the error names the place it came from.
"""

from __future__ import annotations

from jd import protocol
from jd.errors import UsageError
from jd.settingvalues import (
    COLLECT_LIMIT,
    any_text,
    boolean,
    collect_limit,
    dashboard_url,
    duration,
    entry,
    experiment,
    file_patterns,
    gpu_share,
    hours,
    interpreter,
    job_ids,
    modules,
    one_of,
    path,
    path_list,
    proxy_list,
    seconds,
    secret,
    server_place,
    server_url,
    size,
    tags,
    text,
    thread_count,
    user_names,
    whole,
    words,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from jd.settingvalues import Parser


class Setting:
    """One argument and its variable. `default` is the text a user would type, or None.

    `argument` is False where it exists as a variable only; `many` may be given several times, and the value
    is a list.
    """

    # A plain class: dataclasses brings `inspect`, and every command has these tables.
    def __init__(self, name: str, variable: str | None, default: str | None, parse: Parser, help: str,
                 metavar: str = "VALUE", argument: bool = True, secret: bool = False,
                 many: bool = False) -> None:
        self.name = name
        self.variable = variable
        self.default = default
        self.parse = parse
        self.help = help
        self.metavar = metavar
        self.argument = argument
        self.secret = secret
        self.many = many

    @property
    def is_flag(self) -> bool:
        """Whether naming it is enough (`--insecure`). What is on by itself takes a value."""
        return self.parse is boolean and self.default == "false"

    @property
    def key(self) -> str:
        """The name as a Python identifier."""
        return self.name.replace("-", "_")


class Given:
    """A value as text, and where it came from, for error messages."""

    def __init__(self, text: str, origin: str) -> None:
        self.text = text
        self.origin = origin


WORKER: tuple[Setting, ...] = (
    Setting("expId", "JD_EXP_ID", None, experiment, "experiment name, as the server's --expId", "NAME"),
    Setting("entry_script", "JD_ENTRY_SCRIPT", None, entry,
            "script to run for each job: Python, any that begins with #!, or \"-m package.module\"", "PATH"),
    Setting("snapshot", "JD_SNAPSHOT", "false", boolean,
            "run a copy of the script's directory that is taken at the launch"),
    Setting("api_key", "JD_API_KEY", None, secret, "Hub API key; better set in the environment", "KEY",
            secret=True),
    Setting("hub", "JD_HUB_URL", "https://hub.jobdistributor.net", server_url, "Hub base URL", "URL"),
    Setting("server", "JD_SERVER", "http://localhost", server_place,
            "job server, without a Hub; @FILE: its URL is in a file. Your own is found without", "URL"),
    Setting("port", "JD_PORT", str(protocol.API_PORT), whole(1, 65535),
            "port where server= has none", "N"),
    Setting("trust_user", "JD_TRUST_USER", None, user_names,
            "other users of this machine whose server may be used", "NAME[,NAME]"),
    Setting("machine_type", "JD_MACHINE_TYPE", "worker", text, "label shown in the dashboard", "LABEL"),
    Setting("tags", "JD_TAGS", None, tags,
            "what this machine has that jobs may need, besides its machine_type", "TAG[,TAG]"),
    Setting("process_id", None, "0", whole(0, 2 ** 31 - 1),
            "number of a single worker; ignored with num_workers > 1", "N"),
    Setting("num_workers", "JD_NUM_WORKERS", "1", whole(0, 4096),
            "parallel workers to start; scale takes 0 as well", "N"),
    Setting("foreground", "JD_FOREGROUND", "false", boolean, "stay attached, logs to the terminal"),
    Setting("once", "JD_ONCE", "false", boolean,
            "exit after one job, or when there is none; slurm-scale: after one look"),
    Setting("log_dir", "JD_LOG_DIR", None, path, "directory for worker logs", "PATH"),
    Setting("base_path", "JD_BASE_PATH", "auto", one_of("auto", "always", "never"),
            "pass --base_path to the script; auto: if its source mentions base_path",
            "auto|always|never"),
    Setting("cwd", "JD_CWD", "launch", one_of("launch", "job", "script"),
            "directory that scripts run in: where the launch was typed, the job's own, or the script's",
            "launch|job|script"),
    Setting("threads", "JD_THREADS", None, thread_count,
            "OMP_NUM_THREADS and the like of each job; by itself the CPUs are divided among the workers",
            "N|inherit"),
    Setting("memory", "JD_MEMORY", None, size(64 * 1024 ** 2, 2 ** 62),
            "limit for the address space of each process of a job: 4G, 500M", "SIZE"),
    Setting("python", "JD_PYTHON", None, interpreter,
            "another Python for .py scripts and -m; by itself it is that of jd_worker_cli", "PATH"),
    Setting("warm", "JD_WARM", "false", boolean,
            "fork each job from an interpreter that has imported what preload= names"),
    Setting("preload", "JD_PRELOAD", None, modules,
            "with warm=true: modules to import before; script: those that the script begins with",
            "MODULE[,MODULE]"),
    Setting("args", "JD_ARGS", None, words,
            "words that every job's script gets before its parameters, quoted as in a shell", "WORDS"),
    Setting("flags", "JD_FLAGS", protocol.FLAGS_JSON, one_of(*protocol.FLAG_STYLES),
            "how a script gets its parameters, where its sweep does not say; switches: --amp, nothing, "
            "--layers 64 32 for true, false and [64, 32]", "|".join(protocol.FLAG_STYLES)),
    Setting("grace", "JD_GRACE", "20", seconds(0, 86400),
            "how long a job may take to stop before it is killed", "SECONDS"),
    Setting("job_timeout", "JD_JOB_TIMEOUT", None, duration(1),
            "end a script that runs longer, as failed; a shorter limit of its sweep wins", "TIME"),
    Setting("collect", "JD_COLLECT", None, file_patterns,
            "files of the job's directory to upload when its script has ended: *.csv,out/**",
            "PATTERNS"),
    Setting("collect_limit", "JD_COLLECT_LIMIT", COLLECT_LIMIT, collect_limit,
            "how many files, and how much together, are collected of one attempt", "FILES,SIZE"),
    Setting("results_from", "JD_RESULTS_FROM", "files", one_of("files", "stdout"),
            "stdout: make results of what a script prints, as loss=0.5, if it writes no result.json",
            "files|stdout"),
    Setting("pass_api_key", "JD_PASS_API_KEY", None, boolean,
            "give scripts JD_API_KEY; true, but false in an experiment that somebody shares with you"),
    Setting("checkpoint_interval", "JD_CHECKPOINT_INTERVAL", "300", seconds(1),
            "pause between two uploads of JD_CHECKPOINT_DIR while a script runs", "SECONDS"),
    Setting("gpus", "JD_GPUS", None, gpu_share,
            "devices for each worker: auto is one; none hides them", "auto|N|none"),
    Setting("min_time", "JD_MIN_TIME", None, duration(0),
            "take no job when less is left until the scheduler's limit", "TIME"),
    Setting("idle_timeout", "JD_IDLE_TIMEOUT", None, duration(1),
            "exit after so long without a job", "TIME"),
    Setting("exit_when_empty", "JD_EXIT_WHEN_EMPTY", "false", boolean,
            "exit when no job is left that could still come"),
    Setting("JD_END_TIME", "JD_END_TIME", None, whole(0, 2 ** 53),
            "when the scheduler ends the worker, in Unix seconds; Slurm tells it by itself",
            "SECONDS", argument=False),
    Setting("JD_WORKSPACE_PATH", "JD_WORKSPACE_PATH", "~", path,
            "parent of jd_data/, where job directories go", "PATH", argument=False),
    Setting("JD_CACHE_PATH", "JD_CACHE_PATH", "~/.jd_cache", path,
            "the worker registry, and results on their way to the server", "PATH", argument=False),
    Setting("JD_ACCESS_DIR", "JD_ACCESS_DIR", "~/.jd/servers", path,
            "the access files of your servers; where it is set, also results that wait for theirs", "PATH",
            argument=False),
    Setting("JD_LOG_MAX_MB", "JD_LOG_MAX_MB", "50", seconds(0.01, 100000),
            "size of one of the two log files of a worker, in MB", "MB", argument=False),
    Setting("JD_SERVER_TOKEN", "JD_SERVER_TOKEN", None, secret,
            "token of a server whose access file is not here", "TOKEN", argument=False, secret=True),
    Setting("JD_SERVER_TOKEN_FILE", "JD_SERVER_TOKEN_FILE", None, path,
            "file that holds that token", "PATH", argument=False),
    Setting("JD_CA_BUNDLE", "JD_CA_BUNDLE", None, path,
            "PEM file of certificate authorities for https servers", "PATH", argument=False),
    Setting("JD_CHECKPOINTS", "JD_CHECKPOINTS", "signed", one_of("signed", "unsigned"),
            "unsigned: also run checkpoints that no worker of yours has signed", "signed|unsigned",
            argument=False),
    Setting("JD_SKIP_REGISTRY_PRUNE", "JD_SKIP_REGISTRY_PRUNE", "false", boolean,
            "1 skips the clean-up of the registries at start (for debugging)", argument=False),
)

# Arguments of management commands; the ones of a launch are in WORKER.
MANAGEMENT: tuple[Setting, ...] = (
    Setting("json", None, "false", boolean, "print facts as JSON, for programs"),
    Setting("watch", None, "false", boolean, "show it live, until q or Ctrl-C"),
    Setting("lines", None, "50", whole(0, 10_000_000), "how many lines, of a log the last ones", "N"),
    Setting("attempt", None, None, whole(1, 1_000_000), "which attempt of the job; else the latest", "N"),
    Setting("follow", None, "false", boolean, "go on with new lines, until Ctrl-C"),
    Setting("job", None, None, whole(1, 2 ** 53), "the job whose worker is meant", "N"),
    Setting("host", None, None, text,
            "also remove the workers of this host, which is gone; as worker-list shows it", "NAME"),
    Setting("confirm-stop", None, "false", boolean, "ask for the experiment name first"),
    Setting("confirm-clear-all", None, "false", boolean, "do not ask, as for scripts"),
    Setting("template", None, "slurm/jd_array.sbatch", path, "batch script whose array tasks are workers",
            "PATH"),
    Setting("max_workers", None, "16", whole(1, 10000), "array tasks queued or running at once", "N"),
    Setting("jobs_per_task", None, "1", whole(1, 1_000_000), "jobs that one array task is to run", "N"),
    Setting("sbatch_args", None, None, text, "more arguments for sbatch, quoted as in a shell", "WORDS"),
    Setting("apply", None, "false", boolean, "do it; without, only say what would be done"),
    Setting("interval", None, "1m", duration(1, 86400), "pause between two looks", "TIME"),
    Setting("param.<name>", None, None, text, "values of a parameter of that name", "VALUE,..."),
    Setting("where", None, None, any_text, "which jobs, as in the dashboard's filter; else all", "FILTER"),
    Setting("metric", None, None, text, "a number of the results: the best come first", "NAME"),
    Setting("goal", None, "max", one_of("min", "max"), "which metric= is the best", "min|max"),
    Setting("csv", None, None, path, "write a table into this file instead", "FILE"),
    Setting("dest", None, None, path, "directory for the files of jobs", "DIR"),
    Setting("files", None, "*.json", text, "which files, as *.json,*.pt; * means all", "PATTERN,..."),
    Setting("yes", None, "false", boolean, "do not ask"),
    Setting("unique", None, "false", boolean, "create only jobs that do not exist yet"),
    Setting("tags", None, None, tags, "words by which these jobs are found again", "TAG,..."),
    Setting("after", None, None, job_ids, "jobs that have to be DONE first, as 1-64,70", "JOB,..."),
    Setting("needs", None, None, tags, "tags that a worker must have for these jobs", "TAG,..."),
    Setting("timeout", None, None, duration(0), "how long a job may run; of wait, how long it waits", "TIME"),
    Setting("priority", None, None, whole(-protocol.MAX_PRIORITY, protocol.MAX_PRIORITY),
            "of these jobs; the highest first", "N"),
)

SCRIPT: tuple[Setting, ...] = (
    Setting("JD_UPLOAD_MAX_RETRIES", "JD_UPLOAD_MAX_RETRIES", "5", whole(1, 1000),
            "attempts of jd_upload and of the checkpoint functions", "N", argument=False),
    Setting("JD_TRYOUT_DIR", "JD_TRYOUT_DIR", None, path,
            "directory of a try-out; otherwise each gets a new one", "DIR", argument=False),
)

SERVER: tuple[Setting, ...] = (
    Setting("expId", "JD_SERVER_EXP_ID", None, experiment, "experiment this server serves", "NAME"),
    Setting("host", "JD_SERVER_HOST", "127.0.0.1", text, "address to listen on", "ADDRESS"),
    Setting("port", "JD_SERVER_PORT", str(protocol.API_PORT), whole(0, 65535),
            "port for workers; 0 picks a free one", "N"),
    Setting("dashboard-port", "JD_SERVER_DASHBOARD_PORT", str(protocol.DASHBOARD_PORT),
            whole(0, 65535), "port for the dashboard; 0 picks a free one", "N"),
    Setting("workspace_path", "JD_SERVER_WORKSPACE_PATH", "~/jd_server", path,
            "directory for the data of all experiments", "DIR"),
    Setting("data-group", "JD_SERVER_DATA_GROUP", None, text,
            "group that may read the data; else it is for the server's user alone", "GROUP"),
    # Without a variable: it is for one start, and a variable is for all.
    Setting("begin-anew", None, "false", boolean,
            "set a lost or damaged database aside, with the files of its jobs, and begin with no jobs"),
    Setting("jobs", "JD_SERVER_JOBS", None, path_list,
            "jobs to create: .json, .jsonl, .csv or .tsv; those that exist already are left out", "FILE",
            many=True),
    Setting("idle-timeout", "JD_SERVER_IDLE_TIMEOUT", "600", seconds(protocol.MIN_LEASE),
            "lease: a job not heard of for so long goes back to PENDING", "SECONDS"),
    Setting("aborted-job-reset-timeout", "JD_SERVER_ABORTED_JOB_RESET_TIMEOUT", "1200", seconds(0),
            "pause before a failed job is tried again, at most 30 s the first time", "SECONDS"),
    Setting("max-attempts", "JD_SERVER_MAX_ATTEMPTS", "3", whole(1, 1000),
            "how often a job may fail before it stays ABORTED", "N"),
    Setting("pause-failing", "JD_SERVER_PAUSE_FAILING", "true", boolean,
            "pause a worker whose last five jobs failed while those of others succeed", "BOOL"),
    Setting("pause-broken", "JD_SERVER_PAUSE_BROKEN", "true", boolean,
            "pause the experiment when its first ten attempts have all failed", "BOOL"),
    Setting("stop-when", "JD_SERVER_STOP_WHEN", None, text,
            "end the sweep when a job that has run matches this filter, as accuracy>0.95", "FILTER"),
    Setting("max-jobs", "JD_SERVER_MAX_JOBS", None, whole(1, 1_000_000_000),
            "end the sweep when so many jobs are done", "N"),
    Setting("max-hours", "JD_SERVER_MAX_HOURS", None, hours(0.001, 1e9),
            "end the sweep when all attempts together have taken so many hours", "HOURS"),
    Setting("token-file", "JD_SERVER_TOKEN_FILE", None, path,
            "file with the token that workers must send", "FILE"),
    Setting("allow-user", "JD_SERVER_ALLOW_USER", None, user_names,
            "another user of this machine who may do what you may, without a token", "NAME", many=True),
    Setting("metrics-token-file", "JD_SERVER_METRICS_TOKEN_FILE", None, path,
            "file with a token that is good for GET /metrics alone", "FILE"),
    Setting("pin-file", "JD_SERVER_PIN_FILE", None, path,
            "file with the PIN of the dashboard, six digits", "FILE"),
    Setting("pin", "JD_SERVER_PIN", None, secret,
            "the PIN itself, where there is no file", "PIN", argument=False, secret=True),
    Setting("insecure", "JD_SERVER_INSECURE", "false", boolean,
            "serve other machines without any token"),
    Setting("hub", "JD_SERVER_HUB", None, server_url,
            "let in the workers of this Hub's experiment; needs JD_API_KEY", "URL"),
    Setting("create", "JD_SERVER_CREATE", "false", boolean,
            "with --hub: make the experiment if the Hub has none of that name"),
    Setting("with-hub", "JD_SERVER_WITH_HUB", "false", boolean,
            "run a Hub in this process too, with one user and one key"),
    Setting("hub-port", "JD_SERVER_HUB_PORT", "5080", whole(0, 65535),
            "with --with-hub: its port; 0 picks a free one", "N"),
    Setting("hub-data", "JD_SERVER_HUB_DATA", "~/jd_hub", path,
            "with --with-hub: directory for its data", "DIR"),
    Setting("trusted-proxy", "JD_SERVER_TRUSTED_PROXY", None, proxy_list,
            "address or network of a proxy whose X-Forwarded-For counts", "ADDRESS", many=True),
    Setting("public-url", "JD_SERVER_PUBLIC_URL", None, server_url,
            "URL at which workers reach this server, for instance through a proxy", "URL"),
    Setting("publish-url", "JD_SERVER_PUBLISH_URL", None, path,
            "file to write that URL to, for workers with server=@FILE", "FILE"),
    Setting("public-dashboard-url", "JD_SERVER_PUBLIC_DASHBOARD_URL", None, dashboard_url,
            "the same for the dashboard", "URL"),
    Setting("tls", "JD_SERVER_TLS", None, one_of("auto"),
            "auto: serve https with a certificate that the server makes, and workers know", "auto"),
    Setting("tls-cert", "JD_SERVER_TLS_CERT", None, path,
            "certificate, in PEM form, to serve https with", "FILE"),
    Setting("tls-key", "JD_SERVER_TLS_KEY", None, path, "private key of that certificate", "FILE"),
    Setting("json", "JD_SERVER_JSON", "false", boolean, "print events as JSON lines"),
)

HUB: tuple[Setting, ...] = (
    Setting("host", "JD_HUB_HOST", "127.0.0.1", text, "address to listen on", "ADDRESS"),
    Setting("port", "JD_HUB_PORT", "5080", whole(0, 65535),
            "port to listen on; 0 picks a free one", "N"),
    Setting("data", "JD_HUB_DATA", "~/jd_hub", path, "directory for the Hub's data", "DIR"),
    Setting("base-url", "JD_HUB_BASE_URL", None, server_url,
            "URL at which others reach the Hub, for instance through a TLS proxy", "URL"),
    Setting("tls-cert", "JD_HUB_TLS_CERT", None, path,
            "certificate, in PEM form, to serve https with", "FILE"),
    Setting("tls-key", "JD_HUB_TLS_KEY", None, path, "private key of that certificate", "FILE"),
    Setting("trusted-proxy", "JD_HUB_TRUSTED_PROXY", None, proxy_list,
            "address or network of a proxy whose X-Forwarded-For counts", "ADDRESS", many=True),
    Setting("json", "JD_HUB_JSON", "false", boolean, "print JSON, for programs"),
)

_PORT = "_PORT"
_SERVICE_LINK = r"(?:tcp|udp|sctp)://[0-9A-Fa-f.:\[\]]+:[0-9]+"

DEBUG = Setting("JD_DEBUG", "JD_DEBUG", None, boolean, "1 shows tracebacks", argument=False)


# ---- resolution

def parse_given(setting: Setting, given: Given) -> Any:
    """The value of `given`; UsageError says what was given, where, and what is allowed."""
    try:
        return setting.parse(given.text)
    except protocol.ProtocolError as error:
        raise UsageError("%s: %s" % (given.origin, error)) from None
    except ValueError as error:
        what = "that value" if setting.secret else protocol.shown(given.text)
        raise UsageError("%s: %s is not allowed" % (given.origin, what), "give %s" % error) from None


def lookup(setting: Setting, arguments: Mapping[str, str], environ: Mapping[str, str],
           style: str = "%s=") -> Given | None:
    """What the user gave for a setting: the argument, else the variable. An empty variable is unset, and
    so is one that Kubernetes made for a Service (see `service_links`).

    `style` is how an argument is written on this command line, for error messages.
    """
    if setting.name in arguments:
        return Given(arguments[setting.name], style % setting.name)
    given = environ.get(setting.variable or "", "")
    if setting.variable and given.strip() and not _is_service_link(setting.variable, given):
        return Given(given, setting.variable)
    return None


def service_links(table: Sequence[Setting], environ: Mapping[str, str]) -> list[str]:
    """What is to be said of variables that Kubernetes made: for a Service called jd-server it puts
    JD_SERVER_PORT=tcp://10.0.0.7:5000 into the containers of its namespace."""
    return ["%s=%s is passed over: Kubernetes makes it for the Service %s; enableServiceLinks: false "
            "keeps it out" % (name, environ[name], name[:-len(_PORT)].lower().replace("_", "-"))
            for name in sorted({setting.variable or "" for setting in table})
            if _is_service_link(name, environ.get(name, ""))]


def _is_service_link(variable: str, value: str) -> bool:
    if not variable.endswith(_PORT) or "://" not in value:
        return False
    import re
    return re.fullmatch(_SERVICE_LINK, value.strip()) is not None


def resolve(table: Sequence[Setting], arguments: Mapping[str, str], environ: Mapping[str, str],
            style: str = "%s=") -> dict[str, Any]:
    """Values by `Setting.key`; None where nothing was given and there is no default.

    Raises UsageError for the first value that cannot be used.
    """
    values: dict[str, Any] = {}
    for setting in table:
        given = lookup(setting, arguments, environ, style)
        if given is None and setting.default is not None:
            given = Given(setting.default, "default of " + setting.name)
        values[setting.key] = None if given is None else parse_given(setting, given)
    return values


def lowered(arguments: Mapping[str, str], environ: Mapping[str, str], table: Sequence[Setting] = WORKER,
            style: str = "%s=") -> list[str]:
    """What is to be said where the name of the experiment was given with upper-case letters. Raises as
    `resolve`."""
    setting = next(setting for setting in table if setting.name == "expId")
    given = lookup(setting, arguments, environ, style)
    if given is None or given.text.strip() == parse_given(setting, given):
        return []
    from jd.redaction import hidden
    name = parse_given(setting, given)
    return ["%s: %s is the experiment %s, names are in lower case" % (
        given.origin, hidden(given.text.strip()), hidden(name))]


def usable(table: Sequence[Setting], environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without those variables of `table` whose values cannot be used."""
    kept = dict(environ)
    for setting in table:
        if lookup(setting, {}, kept) is not None:
            try:
                resolve([setting], {}, kept)
            except UsageError:
                kept.pop(setting.variable or "")
    return kept


def value_of(table: Sequence[Setting], name: str, environ: Mapping[str, str]) -> Any:
    """One setting from the environment or its default."""
    return resolve([setting for setting in table if setting.name == name], {}, environ)[
        name.replace("-", "_")]
