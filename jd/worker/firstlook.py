"""One look at the server before a launch: that it is one, and of this experiment."""

from jd.net import answering
from jd.net.client import Client
from jd.net.holder import VARIABLE, trusting
from jd.worker.config import WorkerConfig

LOOK_TIME = 3.0  # seconds for each wait on the network: the launch waits for it


def look(config: WorkerConfig) -> None:
    """Returns where the server of an authorised launch can be right, or is away: workers wait for it.

    Raises OtherExperiment for the server of another one, ForeignServer for one of another user of this
    machine, WrongPort for what is no job server, and StorageError or UsageError for a token or URL that
    cannot be used.
    """
    grant = config.grant
    token = config.reached.bearer(config.environ) if grant is None else grant.token
    with trusting(config.environ.get(VARIABLE)):
        answering.check(Client(config.server, lambda: token, LOOK_TIME, config.experiment,
                               config.reached.certificate), config.experiment)
