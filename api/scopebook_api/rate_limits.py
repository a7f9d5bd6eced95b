"""How often somebody may try a password, and ask for anything."""

import time
from typing import Final

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from scopebook.accounts import Actor
from scopebook.errors import TooManyRequestsError
from scopebook.settings import Settings
from scopebook_api.authentication import address_of

#: Several people may share an address.
_PEOPLE_AT_AN_ADDRESS: Final = 5


class RateLimits:
    """The counters of one API process, or of all that share a storage."""

    def __init__(self, settings: Settings) -> None:
        self._counter = FixedWindowRateLimiter(storage_from_string(settings.rate_limit_storage))
        self._requests = RateLimitItemPerMinute(settings.requests_per_minute)
        self._tries = RateLimitItemPerMinute(settings.logins_per_minute)
        self._tries_from = RateLimitItemPerMinute(
            settings.logins_per_minute * _PEOPLE_AT_AN_ADDRESS
        )

    def count_request(self, actor: Actor) -> None:
        """Count a request of an account; refuse the one that is too many."""
        # Who sits at the machine is alone with it.
        if actor.via != "machine":
            self._count(self._requests, "request", str(actor.account_id))

    def count_try(self, request: Request, name: str | None = None) -> None:
        """Count that a link, or the password of `name`, is tried; refuse what is too many.

        The secret of a link cannot be guessed, so that tries from one place must not keep others
        from their links.
        """
        self._count(self._tries_from, "try-from", address_of(request) or "")
        if name is not None:
            self._count(self._tries, "try", name.lower())

    def _count(self, allowed: RateLimitItem, *key: str) -> None:
        if self._counter.hit(allowed, *key):
            return
        reset, _ = self._counter.get_window_stats(allowed, *key)
        wait_s = max(1, round(reset - time.time()))
        raise TooManyRequestsError(
            f"That was more than {allowed.amount} times in a minute; try again in {wait_s} s.",
            retry_after_s=wait_s,
        )
