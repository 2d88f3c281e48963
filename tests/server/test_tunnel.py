"""The line that brings a dashboard on a node to a laptop."""

from typing import Dict, Optional

import pytest

from jd.server.command import tunnel

SLURM = {"SLURM_JOB_ID": "4711", "SLURM_SUBMIT_HOST": "login2.site.example"}
SSH = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"}


@pytest.mark.parametrize("environ, host, line", [
    ({}, "127.0.0.1", None),
    ({}, "0.0.0.0", None),
    (SSH, "127.0.0.1", "ssh -L 5051:127.0.0.1:5051 n17"),
    (SSH, "0.0.0.0", "ssh -L 5051:127.0.0.1:5051 n17"),
    (SSH, "::1", "ssh -L 5051:[::1]:5051 n17"),
    (SSH, "192.0.2.1", "ssh -L 5051:192.0.2.1:5051 n17"),
    (SLURM, "127.0.0.1", "ssh -L 5051:127.0.0.1:5051 -J login2.site.example n17"),
    (SLURM, "0.0.0.0", "ssh -L 5051:n17:5051 login2.site.example"),
    (SLURM, "192.0.2.1", "ssh -L 5051:192.0.2.1:5051 login2.site.example"),
    (dict(SLURM, SLURM_SUBMIT_HOST="n17"), "127.0.0.1", "ssh -L 5051:127.0.0.1:5051 n17"),
    (dict(SLURM, SLURM_SUBMIT_HOST="-oProxyCommand=x"), "0.0.0.0", "ssh -L 5051:n17:5051 LOGIN"),
    ({"PBS_JOBID": "1.s", "PBS_O_HOST": "front"}, "0.0.0.0", "ssh -L 5051:n17:5051 front"),
    (dict(SSH, KUBERNETES_SERVICE_HOST="10.0.0.1"), "0.0.0.0", None),
])
def test_what_is_typed_on_a_laptop(environ: Dict[str, str], host: str, line: Optional[str]) -> None:
    assert tunnel.command(host, 5051, "n17", environ) == line
