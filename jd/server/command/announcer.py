"""What `jd_server` says on stdout: lines for people, or one JSON object a line."""

import os
import shlex
import socket
import sys
from typing import Any, Dict, Mapping, Optional, Tuple

import jd
from jd.auth import secretfile
from jd.net.serving.process import Voice
from jd.server import dashboardpin
from jd.server.experiment import Experiment
from jd.server.hubside.ownhub import Facts, worker_command
from jd.server.store.operators import batches
from jd.terminal import Progress, is_terminal, paint

LINES = 10.0  # seconds between two lines of how far a jobs file is


class Announcer(Voice):
    """What the server says on stdout."""

    def __init__(self, as_json: bool, experiment: Experiment) -> None:
        super().__init__(as_json)
        self._experiment = experiment

    def ready(self, urls: Tuple[str, str], hub: Optional[str], pin: Optional[str],
              taken: Mapping[str, int], ssh: Optional[str] = None) -> None:
        """Where the server is, which is also written to meta/server.json; the PIN if it is new, or the
        file that it is kept in; which default ports were `taken`; and the `ssh` command that brings the
        dashboard to a laptop, where there is one."""
        kept = dashboardpin.file_of(self._experiment.meta_dir)
        file = kept if kept.is_file() else None
        facts = {"server_url": urls[0], "dashboard_url": urls[1], "pid": os.getpid()}
        if hub is not None:
            facts["hub_url"] = hub
        self._experiment.publish(dict(facts, host=socket.gethostname(), version=jd.__version__,
                                      expId=self._experiment.name))
        if self.as_json:
            told: Dict[str, Any] = dict(facts)
            if file is not None:
                told["pin_file"] = str(file)
            if taken:
                told["taken_ports"] = dict(taken)
            if ssh is not None:
                told["ssh"] = ssh
            self.event("ready", told)
            return
        notes = {name: "  (port %d is taken)" % port for name, port in taken.items()}
        self.line("%s  experiment %s" % (paint("jd_server " + jd.__version__, "bold"),
                                         self._experiment.name))
        self.line("  server     %s%s" % (facts["server_url"], notes.get("server", "")))
        self.line("  dashboard  %s%s" % (facts["dashboard_url"], notes.get("dashboard", "")))
        if ssh is not None:
            self.line("  laptop     %s  (brings the dashboard there)" % ssh)
        if file is not None:
            self.line("  pin        in %s" % file)
        elif pin is not None:
            self.line("  pin        %s  (for the dashboard; told this once, jd_server pin reset makes "
                      "another)" % pin)
        if hub is not None:
            self.line("  hub        %s" % hub)
        self.line("  data       %s" % self._experiment.directory)

    def own_hub(self, facts: Facts) -> None:
        """The Hub in this process: its key, and what to type on a worker's machine."""
        key = facts.key if self.shows_secrets else '"$(cat %s)"' % shlex.quote(str(facts.key_file))
        command = worker_command(facts, key, self._experiment.name)
        signup = self.signup_told(facts)
        if self.as_json:
            self.event("hub", {"hub_url": facts.url, "api_key_file": str(facts.key_file),
                                "worker_command": command, "signup_file": signup})
            return
        self.line("  key        %s" % ("%s  (kept in %s)" % (facts.key, facts.key_file)
                                        if self.shows_secrets else "in %s" % facts.key_file))
        if signup is not None:
            self.line("  sign up    %s" % (signup if self.shows_secrets else "in %s" % signup))
        self.line("  workers    %s" % command)

    def signup_told(self, facts: Facts) -> Optional[str]:
        """The link on a terminal, else the file that it is put into; None where there is none."""
        if facts.signup is None or self.shows_secrets:
            return facts.signup
        secretfile.keep(facts.signup_file, facts.signup)
        return str(facts.signup_file)

    def progress(self, step: str, name: str, total: int) -> "Loaded":
        """What tells how far a jobs file is: its bytes that are read, or its jobs that are created."""
        return Loaded(self, step, name, total)

    def stopping(self, reason: Optional[str]) -> None:
        """A signal came, or the experiment is over for a reason."""
        if self.as_json:
            self.event("stopping", {} if reason is None else {"reason": reason})
        else:
            self.line("stopping" if reason is None else "stopping: " + reason)


class Loaded:
    """How far a jobs file is: a bar on a terminal, which goes when it is done, else a line now and then."""

    def __init__(self, voice: Voice, step: str, name: str, total: int) -> None:
        self._voice = voice
        self._facts = {"file": name, "step": step}
        self._total = total
        self._bar: Optional[Progress] = None
        if not voice.as_json and is_terminal(sys.stdout):
            self._bar = Progress(total, "  jobs       %s %s" % (step, name), sys.stdout)
        self.interval = 0.2 if self._bar is not None else LINES  # seconds between two updates

    def __enter__(self) -> "Loaded":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.clear()

    def update(self, done: int) -> None:
        """So many bytes or jobs are done."""
        if self._bar is not None:
            self._bar.update(done)
        elif self._voice.as_json:
            self._voice.event("loading", dict(self._facts, done=done, total=self._total))
        else:
            self._voice.line("  jobs       %(step)s %(file)s" % self._facts + ": %d %%" % (
                100 * done // max(1, self._total)))


def say_loaded(voice: Voice, name: str, total: int, created: Optional[batches.Created]) -> None:
    """What became of a jobs file that describes `total` jobs; None: it was loaded before."""
    made = 0 if created is None else created.total
    existing = total - made
    if voice.as_json:
        voice.event("jobs", {"file": name, "created": made, "existing": existing,
                             "start_id": created.start_id if created is not None and made else None})
    elif created is None:
        voice.line("  jobs       %s was loaded before: nothing added" % name)
    else:
        voice.line("  jobs       %d from %s%s" % (
            made, name, ": %s" % created.said_of_existing() if existing else ""))
