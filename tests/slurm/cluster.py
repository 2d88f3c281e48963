"""A real Slurm of two nodes on this machine: munged, slurmctld and two slurmd.

Every file of theirs is in one directory, every port is free when it starts, and each process is
stopped by its pid. The nodes are this machine twice; they pretend to have more processors than it
has, so that many short jobs run at once.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from tests.support import ROOT, free_env, program, wait_until

NODES = ("n1", "n2")
CPUS = 16
GPUS = ("/dev/null", "/dev/zero")  # Slurm only wants device files to exist
LOW, HIGH = "low", "high"  # partitions: jobs of HIGH preempt those of LOW
TEMPLATES = ROOT / "slurm"

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
_LONGEST = 70  # sockets have a path of at most 107 bytes (unix(7)), and slurmd adds to it


def why_no_slurm() -> str:
    """Why there can be no Slurm here, or an empty string."""
    missing = [name for name in _PROGRAMS if program(name) is None]
    if missing:
        return "no Slurm: %s is not installed (Debian: slurm-wlm munge)" % missing[0]
    if os.geteuid() != 0:
        return "no Slurm: slurmd has to be started by root"
    return ""


needs_slurm = pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm() or "there is one")
# The time limits run down from the first test on; see the fixture.
on_slurm = [pytest.mark.slow, needs_slurm, pytest.mark.usefixtures("limited")]

_CONF = """\
ClusterName=jd
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job starts again when its old credential has expired, by default two minutes later.
AuthInfo=socket={directory}/munge.sock,cred_expire=5
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
OverTimeLimit=0
KillWait=30
InactiveLimit=0
# Tests ask about jobs that ended minutes ago.
MinJobAge=3600
GresTypes=gpu
{nodes}
PartitionName={low} Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName={high} Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF
"""
_NODE = ("NodeName=%s NodeHostname=localhost NodeAddr=127.0.0.1 Port=%d CPUs=%d Sockets=1"
         " CoresPerSocket=%d ThreadsPerCore=1 RealMemory=4000 Gres=gpu:%d State=UNKNOWN")


class Cluster:
    """Use it as a context manager. `scratch` is a directory for the node-local files of jobs."""

    def __init__(self, directory: Path) -> None:
        near = str(directory) if len(str(directory)) <= _LONGEST else "/tmp"
        self.directory = Path(tempfile.mkdtemp(prefix="s", dir=near))
        self.directory.chmod(0o755)  # munge refuses a socket that its clients cannot reach
        self.conf = self.directory / "slurm.conf"
        self._daemons: List["subprocess.Popen[bytes]"] = []

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # ---- what users type

    def environ(self, directory: Path, **extra: Any) -> Dict[str, str]:
        """The environment of a user on the login node, without JD_* variables but for `extra`."""
        plain = dict.fromkeys(("JD_WORKSPACE_PATH", "JD_CACHE_PATH"))
        return free_env(directory, **dict(plain, SLURM_CONF=self.conf, USER="root", **extra))

    def type(self, *words: Any, cwd: Optional[Path] = None, status: Optional[int] = 0,
             environ: Optional[Dict[str, str]] = None) -> "subprocess.CompletedProcess[str]":
        """Run a command of Slurm's."""
        done = subprocess.run(
            [str(program(str(words[0])))] + [str(word) for word in words[1:]], cwd=cwd and str(cwd),
            env=environ or self.environ(self.directory), stdin=subprocess.DEVNULL, timeout=60,
            capture_output=True, text=True)
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def submit(self, template: str, directory: Path, *options: Any, words: Any = (),
               **environ: Any) -> str:
        """`sbatch options template words`, typed in `directory`; the number of the job."""
        done = self.type("sbatch", "--parsable", *options, TEMPLATES / template, *words,
                         cwd=directory, environ=self.environ(directory, **environ))
        return done.stdout.strip().partition(";")[0]

    def facts(self, job: str) -> List[Dict[str, str]]:
        """What `scontrol show job` says of a job, for each task of an array."""
        shown = self.type("scontrol", "-o", "show", "job", job).stdout
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in shown.splitlines() if line.strip()]

    def states(self, job: str) -> List[str]:
        """The states of the tasks of a job."""
        return sorted(task["JobState"] for task in self.facts(job))

    def until(self, job: str, *states: str, timeout: float = 90) -> List[Dict[str, str]]:
        """Wait until every task of a job is in one of these states."""
        def reached() -> bool:
            return set(self.states(job)) <= set(states)
        try:
            wait_until(reached, timeout, "job %s is %s" % (job, "/".join(states)))
        except AssertionError as error:
            raise AssertionError("%s; it is %s\n%s" % (error, self.facts(job), self.log())) from None
        return self.facts(job)

    def log(self) -> str:
        """The last lines of slurmctld."""
        lines = (self.directory / "slurmctld.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])

    # ---- starting and stopping

    def _start(self) -> None:
        self._configure()
        (self.directory / "munge.key").write_bytes(os.urandom(128))
        (self.directory / "munge.key").chmod(0o400)
        place = "%s/munge" % self.directory
        self._daemon("munged", "--foreground", "--force", "--key-file=%s.key" % place,
                     "--socket=%s.sock" % place, "--pid-file=%s.pid" % place,
                     "--log-file=%s.log" % place, "--seed-file=%s.seed" % place)
        wait_until(Path(place + ".sock").exists, message="munged listens")
        self._daemon("slurmctld", "-D", "-f", self.conf)
        for node in NODES:
            self._daemon("slurmd", "-D", "-N", node, "-f", self.conf)
        wait_until(self._is_up, 60, "both nodes are idle")

    def _configure(self) -> None:
        (self.directory / "state").mkdir()
        nodes = [_NODE % (node, port, CPUS, CPUS, len(GPUS))
                 for node, port in zip(NODES, free_ports(len(NODES)))]
        self.conf.write_text(_CONF.format(
            controller=free_ports(1)[0], directory=self.directory, nodes="\n".join(nodes),
            low=LOW, high=HIGH))
        (self.directory / "gres.conf").write_text("".join(
            "NodeName=%s Name=gpu File=%s\n" % (",".join(NODES), device) for device in GPUS))
        version = subprocess.run([str(program("slurmctld")), "-V"], stdout=subprocess.PIPE)
        if tuple(int(part) for part in re.findall(rb"\d+", version.stdout)[:2]) >= (23, 11):
            (self.directory / "cgroup.conf").write_text("CgroupPlugin=disabled\n")

    def _daemon(self, name: str, *arguments: Any) -> None:
        with open(str(self.directory / (name + ".out")), "ab") as output:
            self._daemons.append(subprocess.Popen(
                [str(program(name))] + [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=str(self.directory),
                env=self.environ(self.directory)))

    def _is_up(self) -> bool:
        dead = [daemon for daemon in self._daemons if daemon.poll() is not None]
        assert not dead, "%r ended:\n%s" % (dead[0].args, self._outputs())
        states = self.type("sinfo", "-h", "-N", "-o", "%N %t", status=None).stdout.split("\n")
        return {"%s idle" % node for node in NODES} <= {state.strip() for state in states}

    def _outputs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:]
                         for pattern in ("*.out", "*.log") for path in self.directory.glob(pattern))

    def close(self) -> None:
        """Stop everything: the jobs, the daemons, then what their jobs left."""
        try:
            if len(self._daemons) > 1 and self._daemons[1].poll() is None:
                self._cancel_all()
        finally:
            for daemon in reversed(self._daemons):
                _end(daemon)
            for pid in self._left():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(str(self.directory), ignore_errors=True)

    def _cancel_all(self) -> None:
        self.type("scancel", "--signal=KILL", "--full", "--user=root", status=None)
        self.type("scancel", "--user=root", status=None)
        try:
            wait_until(lambda: not self.type("squeue", "-h", status=None).stdout)
        except AssertionError:
            pass  # what is left is killed below

    def _left(self) -> List[int]:
        """Processes of this cluster: SLURM_CONF is in the environment of each."""
        mark = ("SLURM_CONF=%s" % self.conf).encode() + b"\0"
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append(int(process.name))
            except OSError:  # ended meanwhile
                pass
        return [pid for pid in found if pid != os.getpid()]


def _end(daemon: "subprocess.Popen[bytes]") -> None:
    if daemon.poll() is None:
        daemon.terminate()
    try:
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait(60)


def free_ports(count: int) -> List[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
