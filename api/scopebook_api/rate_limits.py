"""How often somebody may try a password, and ask for anything."""

import logging
import time
from typing import Any, Final

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from scopebook.accounts import Actor
from scopebook.api_processes import counted_in
from scopebook.errors import InvalidInputError, TooManyRequestsError
from scopebook.settings import Settings
from scopebook_api.authentication import address_of

log = logging.getLogger(__name__)

#: Several people may share an address.
_PEOPLE_AT_AN_ADDRESS: Final = 5
#: Every request waits for a shared storage, so not for long.
_STORAGE_S: Final = 1.0
#: One that has failed is not asked again for so long.
_ASK_AGAIN_S: Final = 10.0


class RateLimits:
    """The counters of one API process, or of all that share a storage.

    While a shared storage does not answer, each process counts by itself: nobody is kept out for
    it, and a password cannot be tried without end.
    """

    def __init__(self, settings: Settings) -> None:
        self._shared: FixedWindowRateLimiter | None = None
        url = counted_in(settings)
        if url != "memory://":
            self._shared = FixedWindowRateLimiter(_storage(url))
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._ask_at = 0.0
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
        reset = self._reset_if_full(allowed, *key)
        if reset is None:
            return
        wait_s = max(1, round(reset - time.time()))
        raise TooManyRequestsError(
            f"That was more than {allowed.amount} times in a minute; try again in {wait_s} s.",
            retry_after_s=wait_s,
        )

    def _reset_if_full(self, allowed: RateLimitItem, *key: str) -> float | None:
        """Count once more; return None, or where that is too many when counting begins anew."""
        if self._shared is not None and time.monotonic() >= self._ask_at:
            try:
                return _hit(self._shared, allowed, *key)
            except self._shared.storage.base_exceptions as error:
                self._ask_at = time.monotonic() + _ASK_AGAIN_S
                # Its message may name the address, which may hold a password.
                log.warning(
                    "Where requests are counted does not answer (%s): for %.0f s each process "
                    "counts by itself.",
                    type(error).__name__,
                    _ASK_AGAIN_S,
                )
        return _hit(self._own, allowed, *key)


def _hit(counter: FixedWindowRateLimiter, allowed: RateLimitItem, *key: str) -> float | None:
    if counter.hit(allowed, *key):
        return None
    reset, _ = counter.get_window_stats(allowed, *key)
    return reset


def _storage(url: str) -> Storage:
    redis = url.partition("://")[0] in ("redis", "rediss", "redis+unix")
    patience: dict[str, Any] = (
        {"socket_timeout": _STORAGE_S, "socket_connect_timeout": _STORAGE_S} if redis else {}
    )
    storage = storage_from_string(url, **patience)
    if not isinstance(storage, Storage):
        raise InvalidInputError(
            "SCOPEBOOK_RATE_LIMIT_STORAGE begins with async+, which the API does not use; name the "
            "same address without it."
        )
    return storage
