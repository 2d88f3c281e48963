"""Who calls the Hub's API. Every request carries an API key, which is looked up each time, so that revoking
a key or suspending a user works at once.
"""

import logging

from jd.auth import apikeys, sharedtoken
from jd.errors import StorageError
from jd.hub.data import HubData
from jd.hub.store import accounts
from jd.net.serving.routing import HttpError, Request, Route

log = logging.getLogger("jd.hub")

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Access:
    """The guard of the API's routes: sets `request.principal` to an accounts.Caller."""

    def __init__(self, data: HubData) -> None:
        self._data = data

    async def __call__(self, request: Request, _route: Route) -> None:
        """Raises HttpError: 401 without a known key, 403 for a suspended user."""
        given = sharedtoken.bearer(request.headers.get("authorization"))
        if given is None:
            raise HttpError(401, "an API key is needed: send Authorization: Bearer jd_…; workers "
                                 "take it from JD_API_KEY", _CHALLENGE)
        caller = None
        if apikeys.is_key(given):
            caller = await self._data.look_up(lambda db: accounts.caller(db, given))
        if caller is None:
            raise HttpError(401, "the API key is unknown or was revoked; create one on the Hub: "
                                 "jd_hub key create", _CHALLENGE)
        if caller.suspended:
            raise HttpError(403, "the account %s is suspended; ask an administrator of this Hub"
                            % caller.email)
        request.principal = caller
        await self._note_use(caller)

    async def _note_use(self, caller: accounts.Caller) -> None:
        """Once a minute, not with every call: each note is a write to the disk."""
        now = self._data.clock()
        if (caller.last_used_at is not None
                and 0 <= now - caller.last_used_at < accounts.KEY_USE_INTERVAL):
            return
        try:
            await self._data.write(lambda db, now: accounts.key_used(db, caller.key_id, now))
        except StorageError as error:
            log.warning("%s", error)  # a full disk must not keep anybody from reading
