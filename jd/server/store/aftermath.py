"""What follows the end of an attempt, in the transaction that ends it.

So the claim that comes with a result sees what that result has led to.
"""

from jd.server.store.fleet import failing
from jd.server.store.operators import brokensweep
from jd.server.store.pages import completions
from jd.server.store.queue import runtimes
from jd.server.store.transaction import Ended, Transaction


def follow(t: Transaction, ended: Ended) -> None:
    """It is counted for the charts, its runtime tells how long jobs take, and its worker may be marked as
    failing and paused, or the whole sweep be paused."""
    completions.count(t, ended)
    runtimes.keep(t, ended)
    failing.judge(t, ended)
    brokensweep.judge(t, ended)
