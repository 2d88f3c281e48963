"""The other templates, unedited, on a real Slurm of two nodes."""

import subprocess
from pathlib import Path

from tests.slurm.cluster import GPUS, NODES, Cluster, free_ports, on_slurm
from tests.slurm.sweep import Sweep
from tests.support import ROOT, python

pytestmark = on_slurm


def test_multinode_has_workers_on_every_node(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=6, open_gate=False) as sweep:
        sweep.submit("jd_multinode.sbatch", JD_NUM_WORKERS=2)
        sweep.until_at_gate(4)
        assert {one["node"] for one in sweep.record("gate")} == set(NODES)
        sweep.open()
        sweep.until_done()
        sweep.check()
        sweep.check_places()


def test_multinode_drains_with_a_signal_to_its_steps_and_stops_with_one_to_srun(
        cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=5, open_gate=False) as sweep:
        drained = sweep.submit("jd_multinode.sbatch")
        stopped = sweep.submit("jd_multinode.sbatch")
        sweep.until_at_gate(4)
        cluster.type("scancel", "--signal=TERM", "--batch", stopped)
        sweep.until_pending(3)
        cluster.type("scancel", "--signal=USR2", drained)
        sweep.open()
        cluster.until(drained, "COMPLETED")
        sweep.submit("jd_multinode.sbatch")
        sweep.until_done()
        sweep.check(interrupted=2)


def test_each_worker_has_a_gpu_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False) as sweep:
        sweep.submit("jd_gpu.sbatch")
        sweep.until_at_gate(4)
        used = {(one["node"], one["slurm"], one["gpu"]) for one in sweep.record("gate")}
        assert len({(node, gpu) for node, _, gpu in used}) == len(NODES) * len(GPUS)
        assert len({task for _, task, _ in used}) == 4
        sweep.open()
        sweep.until_done()
        sweep.check()


def test_a_task_with_two_gpus_has_two_workers(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=2, open_gate=False) as sweep:
        sweep.submit("jd_gpu.sbatch", "--array=0", "--gres=gpu:2")
        sweep.until_at_gate(2)
        assert sorted(one["gpu"] for one in sweep.record("gate")) == ["0", "1"]


def test_experiment_and_script_are_all_that_a_sweep_needs(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=6) as sweep:
        sweep.submit("jd_array.sbatch", "--array=0-1", JD_SERVER=None)
        sweep.submit("jd_multinode.sbatch", JD_SERVER=None)
        sweep.until_done()
        sweep.check()


def test_a_server_in_an_allocation_that_comes_back_and_workers_that_find_it(
        cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False, own_server=False) as sweep:
        sweep.submit("jd_array.sbatch", "--array=0-1")
        port, = free_ports(1)
        server = sweep.submit("jd_server.sbatch", words=("--jobs", sweep.job_file),
                              JD_SERVER_HOST="127.0.0.1", JD_SERVER_PORT=port)
        sweep.until_at_gate(2)
        token = tmp_path / "home" / "jd_server" / "exp" / "meta" / "token"
        assert token.stat().st_mode & 0o077 == 0
        url = tmp_path / "home" / "jd_server" / "exp.url"
        assert token.read_text().strip() not in url.read_text() and str(token) in url.read_text()
        cluster.type("scontrol", "requeue", server)
        cluster.until(server, "PENDING")
        cluster.until(server, "RUNNING")
        sweep.open()
        sweep.until_done()
        sweep.check()


_APPTAINER = """\
#!/bin/bash
# Stands for apptainer: no JD_* variable comes through but by APPTAINERENV_.
printf '%s\\n' "$@" >>"$FAKE_LOG"
for name in "${!JD_@}"; do unset "$name"; done
for name in "${!APPTAINERENV_@}"; do export "${name#APPTAINERENV_}=${!name}"; done
[ "$1" = run ]
shift
while [ "${1#--}" != "$1" ]; do
  case $1 in --bind) [ -e "$2" ] || exit 9; shift ;; --pwd) cd "$2"; shift ;; esac
  shift
done
[ "$(cat "$1")" = image ]
shift
exec jd_worker_cli "$@"
"""


def test_apptainer(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False) as sweep:
        (sweep.programs / "apptainer").write_text(_APPTAINER)
        (sweep.programs / "apptainer").chmod(0o755)
        (tmp_path / "jd-worker.sif").write_text("image")
        job = sweep.submit("jd_apptainer.sbatch", "--array=0-1", FAKE_LOG=tmp_path / "calls",
                           JD_API_KEY="jd_secret")
        sweep.until_at_gate(2)
        cluster.type("scontrol", "requeue", job)
        sweep.until_pending(4)
        sweep.open()
        sweep.until_done()
        sweep.check(interrupted=2)
        sweep.check_places()
        assert "secret" not in (tmp_path / "calls").read_text()


def test_results_on_scratch_are_collected(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=3) as sweep:
        sweep.submit("jd_array.sbatch", "--array=0")
        sweep.until_done()
        assert sorted(result["y"] for result in sweep.results()) == [0, 1, 4]


def test_a_setup_file_and_a_virtual_environment(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=1) as sweep:
        setup = tmp_path / "my site"
        # As such files are: with variables that are not set, and commands that fail.
        setup.write_text("false\nexport JD_MACHINE_TYPE=from-setup$NOWHERE\nfalse\n")
        environment = tmp_path / "my venv"
        sweep.programs.parent.joinpath("my venv").mkdir()
        sweep.programs.rename(environment / "bin")
        (environment / "bin" / "python").write_text("#!/bin/sh\nexec %s \"$@\"\n" % " ".join(python()))
        (environment / "bin" / "python").chmod(0o755)
        sweep.submit("jd_array.sbatch", "--array=0", JD_SETUP="my site", JD_VENV="my venv")
        sweep.until_done()
        sweep.check()
        assert sweep.machine_types() == {"from-setup"}


def test_the_single_file_program(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=1, own_server=False) as sweep:
        subprocess.run(python("-m", "jd.dist", "pyz", "--out", tmp_path / "dist"), check=True,
                       cwd=str(ROOT), stdout=subprocess.DEVNULL)
        pyz, = (tmp_path / "dist").glob("*.pyz")
        for program in sweep.programs.iterdir():
            program.unlink()
        alone = {"JD_PYZ": pyz, "PYTHONPATH": None}
        sweep.submit("jd_server.sbatch", words=("--jobs", sweep.job_file), JD_SERVER_HOST="127.0.0.1",
                     **alone)
        sweep.submit("jd_array.sbatch", "--array=0",
                     JD_SERVER="@%s" % (tmp_path / "home" / "jd_server" / "exp.url"), **alone)
        sweep.until_done()
        sweep.check()
