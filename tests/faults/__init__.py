"""Sweeps under attack: what people are promised (nothing lost, nothing run twice) is tried out with real
processes, to which everything happens that happens to processes.

One run is

- a plan (`plan.py`), made from a seed alone: jobs, machines, and faults with their times;
- played (`play.py`) with the real programs (`programs.py`), whose scripts (`entry.py`) keep a log of their
  own of what they have done and were told. Between them and the server stands a proxy (`proxy.py`), disks
  become full or read-only (`disks.py`), clocks are set and tokens are short (`launcher.py`), processes are
  killed, frozen and terminated, at any time and at the points that `jd/killpoint.py` names, the server moves
  and is started twice, and copies of its database are taken as a loss of power would leave it
  (`powerloss.py`);
- settled: there are no more faults, and all comes to its end by itself;
- examined (`invariants.py`): database and disk must agree with each other and with the log, but for what
  the plan and the job's history excuse (`excuses.py`).

`make faults RUNS=300 SEED=1` is the long mode. A run that fails shows its plan and what does not hold, and
keeps its directory. `python -m tests.faults --runs 1 --seed N` plays it again; the processes meet their
faults by chance, so that it may take some times until it fails again. A fault that was found this way gets a
test of its own at the lowest level that shows it.
"""
