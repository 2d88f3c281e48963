"""How one worker reaches its job server: at which URL, with which certificate and token.

Without a Hub these stay the same until a file that names the server says something else. In Hub mode the
Hub may name another server with each token, and a token that the server does not accept is exchanged
before the worker gives up.
"""

import time
from typing import Callable, List, Optional

from jd.auth import checkpointkey, tokentosend
from jd.auth.hubtoken import Grant
from jd.errors import ServerRefused, ServerUnreachable, StorageError
from jd.net.client import Client
from jd.net.finding import published
from jd.net.peer import ownserver
from jd.node.identity import Here
from jd.worker.config import WorkerConfig
from jd.worker.local.registry import Registry
from jd.worker.uplink.callthread import Call
from jd.worker.uplink.tokenrenewal import Renewal, asker

KEYS_LAST = 10.0  # seconds; files that have some are looked at again then, not for each job
_SHARED_ADVICE = "check JD_SERVER_TOKEN or JD_SERVER_TOKEN_FILE"


class Connection:
    """The job server, for one worker. Raises UsageError or StorageError for an unusable token.

    `refused` is called, in a thread, when the Hub will give no further token.
    """

    def __init__(self, config: WorkerConfig, log: Callable[[str], None],
                 refused: Callable[[], None]) -> None:
        self._config = config
        self._server = config.server
        self._environ = config.environ
        self._place = config.reached
        self._log = log
        self._complained = False
        self._keys: List[str] = []
        self._found: List[str] = []  # in the environment and in files
        self._keys_found_at: Optional[float] = None
        self._told: List[str] = []  # by the server; of the thread that makes the calls
        self._doubted = False
        self._asks_whose = True  # the kernel, at the next call: it is asked for the sake of a key alone
        self.renewal: Optional[Renewal] = None
        hub = config.hub_access
        if hub is not None and config.grant is not None:
            self.renewal = Renewal(config.grant, asker(hub, config.experiment), log, self._fresh,
                                   refused)
        self._client = self._made(config.server)
        if self.renewal is None:
            tokentosend.bearer(self._place, self._environ)

    @property
    def shown(self) -> str:
        """The server's URL for messages."""
        return self._client.shown

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._server if self.renewal is None else self.renewal.current.server

    @property
    def advice(self) -> str:
        """What people can do when the server does not accept this worker."""
        if self.renewal is None:
            return _SHARED_ADVICE
        return "see jd_worker_cli expId=%s health" % self._config.experiment

    @property
    def refusal(self) -> Optional[str]:
        """Why the Hub gives no further token; None as long as it may."""
        if self.renewal is None or self.renewal.refusal is None:
            return None
        return str(self.renewal.refusal)

    def token(self) -> Optional[str]:
        """The token of the moment."""
        if self.renewal is None:
            return tokentosend.bearer(self._place, self._environ)
        return self.renewal.current.token

    @property
    def granted(self) -> str:
        """The newest worker token that the Hub gave; empty without a Hub."""
        return "" if self.renewal is None else self.renewal.current.token

    def checkpoint_keys(self) -> List[str]:
        """What checkpoints are signed with, but for the key of the home directory."""
        if self.renewal is not None:
            key = self.renewal.current.checkpoint_key
            hub = self._config.hub_access
            return checkpointkey.distinct(([] if key is None else [key])
                                          + ([] if hub is None else [checkpointkey.of_api_key(hub.key)]))
        if self._keys_found_at is None or time.monotonic() - self._keys_found_at >= KEYS_LAST:
            self._found = checkpointkey.standalone(self._config.experiment, self._environ)
            self._keys_found_at = time.monotonic()
        keys = list(self._found)
        token = self.token()
        if token is not None:
            keys.append(checkpointkey.of_token(token))
        # An access file goes when its server stops; what it said is as good as before.
        self._keys = checkpointkey.distinct(keys + self._told + self._keys)
        return self._keys

    @property
    def certificate(self) -> Optional[str]:
        """The only certificate of the server to trust, PEM; None where authorities vouch for it."""
        return self._place.certificate if self.renewal is None else None

    def start(self) -> None:
        """Begin to keep the token fresh."""
        if self.renewal is not None:
            self.renewal.start()

    def end(self) -> None:
        """Stop that."""
        if self.renewal is not None:
            self.renewal.end()

    def deliver(self, call: Call) -> object:
        """Make a call of the worker; for the thread of the calls, where waiting for the Hub is no harm.

        Raises what `Client.call` and `Renewal.renew` raise.
        """
        if self.renewal is None:
            try:
                return self._send(call)
            except ServerUnreachable:
                self._look_for_server()
                raise
            except ServerRefused as error:
                # One that began anew on other data has another token.
                if error.status != 401 or not self._look_for_server():
                    raise
                return self._send(call)
        used = self.renewal.current.token
        try:
            return self._send(call)
        except ServerRefused as error:
            if error.status != 401:
                raise
            self.renewal.renew(used)
            return self._send(call)
        except ServerUnreachable:
            if not call.held:  # what holds a call may just have been cut by a proxy
                self.renewal.server_is_away(time.monotonic())
            raise

    def rest(self) -> None:
        """No call is made for a while: nothing is kept open at the server."""
        self._client.close()

    def _send(self, call: Call) -> object:
        body, headers = call.parts()
        if self.renewal is not None:
            return self._client.call("POST", call.route, body, timeout=call.timeout, headers=headers)
        own: List[bool] = []
        asked = self._asks_whose
        answer = self._client.call(
            "POST", call.route, body, timeout=call.timeout, headers=headers,
            met=(lambda connected: own.append(ownserver.is_own(connected))) if asked else None)
        if isinstance(answer, dict):
            key = answer.get("checkpoint_key")
            if asked:
                self._hear_key(key, own == [True])
            self._asks_whose = checkpointkey.is_key(key) and key not in self._told
        return answer

    def _hear_key(self, key: object, own: bool) -> None:
        """A server tells the key of its token to who the kernel says is its own user. It counts only if
        the kernel says the same of the server: else whoever listens there could sign for the owner."""
        if not checkpointkey.is_key(key) or key in self._told:
            return
        if own:
            self._told = checkpointkey.distinct([str(key)] + self._told)
        elif not self._doubted:
            self._doubted = True
            self._log("the checkpoint key that %s tells is not used: it cannot be seen that the server is "
                      "this user's own" % self._client.shown)

    def _look_for_server(self) -> bool:
        """The server is away, or does not know us: it may have come up elsewhere, and have said so in
        its file. Whether it has."""
        path = self._config.server_file
        if path is None:
            return False
        try:
            place = published.read(path)
            environ = None if place is None else tokentosend.with_token_file(self._config.environ, place)
        except StorageError as error:
            if not self._complained:
                self._complained = True
                self._log(str(error))
            return False
        if place is None or environ is None or place == self._place:
            return False
        moved = place.url != self._server
        self._place, self._server = place, place.url
        self._environ = environ
        self._client = self._made(place.url)
        if moved:
            self._log("the job server is now at %s" % self._client.shown)
        return True

    def _made(self, server: str) -> Client:
        return Client(server, self.token, experiment=self._config.experiment,
                      certificate=self.certificate, hint=self._place.hint, keep=True)

    def _fresh(self, grant: Grant) -> None:
        self._client = self._made(grant.server)
        try:
            registry = Registry(self._config.experiment, self._config.environ)
            if registry.exists:
                registry.store_token(Here().own, grant.token, time.time())
        except StorageError as error:
            if not self._complained:
                self._complained = True
                self._log("%s; scripts that run now keep their older token" % error)
