"""A job server in this process, for tests of what asks one: one of its own takes half a second to start."""

from pathlib import Path

from jd.server.api.access import Access
from jd.server.experiment import Experiment
from jd.server.store.policy import Policy
from tests.e2e.processes import EXPERIMENT, Calls
from tests.server.town import HOST, Servers


class ServedHere(Servers, Calls):
    """It runs from the beginning of a `with` to its end, for the user of the tests."""

    def __init__(self, directory: Path, policy: Policy = Policy()) -> None:
        self._policy = policy
        super().__init__(directory / "server")

    async def _open(self) -> None:
        self.experiment = Experiment(self.directory, EXPERIMENT, self._policy)
        await self._serve(Access(HOST, None, False))
        self.url = "http://%s:%d" % (HOST, self.ports["api"])

    async def _close(self) -> None:
        await self.server.stop()
        self.experiment.close()
