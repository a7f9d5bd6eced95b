"""Passwords, and random secrets of which only a hash is kept."""

import hashlib
import secrets
import threading
from functools import cache
from typing import Final

from pwdlib import PasswordHash

from scopebook.errors import InvalidInputError

SHORTEST_PASSWORD: Final = 10
#: Hashing takes time that grows with the length.
LONGEST_PASSWORD: Final = 1000
#: Each takes 64 MiB for its time, so that many who log in at once must not take all there is.
_AT_ONCE: Final = threading.BoundedSemaphore(2)


def new_secret(prefix: str = "") -> str:
    """Return 32 random bytes as text; nobody guesses that, so a plain hash keeps it safe."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Return what is kept of a random secret."""
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def hash_password(password: str, name: str) -> str:
    """Return what is kept of the password of `name`; one that is easily guessed is refused."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInputError(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, and this one "
            f"has {len(password)}; a few random words are long and easy to remember."
        )
    if password.casefold() == name.casefold() or len(set(password)) < 4:
        raise InvalidInputError(
            "The password is too easy to guess; take a few random words instead."
        )
    with _AT_ONCE:
        return _hasher().hash(password)


def check_password(password: str, kept: str | None) -> tuple[bool, str | None]:
    """Tell whether it is the password, and return a stronger hash where the kept one is weak.

    Without a kept one it takes as long: how long an answer takes must not tell which names exist.
    """
    if len(password) > LONGEST_PASSWORD:
        return False, None
    with _AT_ONCE:
        right, stronger = _hasher().verify_and_update(password, kept or _of_nobody())
    return (right, stronger) if kept else (False, None)


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _of_nobody() -> str:
    return _hasher().hash(new_secret())
