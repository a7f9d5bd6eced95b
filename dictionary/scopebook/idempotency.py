"""Do once what is asked twice: a caller's key, and the answer that its first request got.

The answer is written in the transaction of what it tells of. So there is no time in which the one
stands and the other does not, and a process that is killed between leaves neither. While the first
request runs, its transaction holds an advisory lock, which goes with it however it ends.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.answer_tables import KeptAnswer
from scopebook.errors import ConflictError, InvalidInputError

LONGEST_KEY: Final = 255
KEPT_FOR: Final = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """A request under a key, which is running for the first time in this transaction."""

    account_id: int
    key: str
    #: Method and path, as a person reads it.
    name: str
    sha256: bytes

    def keep(self, session: Session, answer: Answer) -> None:
        """Let whoever asks the same again get this answer."""
        values = {
            "request": self.name,
            "request_sha256": self.sha256,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body,
            "created_at": func.now(),
        }
        session.execute(
            insert(KeptAnswer)
            .values(account_id=self.account_id, key=self.key, **values)
            # An old one that the sweep has not come to yet.
            .on_conflict_do_update(index_elements=["account_id", "key"], set_=values)
        )


def begin_keyed(
    session: Session, actor: Actor, key: str, *, name: str, query: str, body: bytes
) -> KeyedRequest | Answer:
    """Return the answer that this request got before, or the request to be done now.

    Raises:
        InvalidInputError: The key is malformed, or was used for another request.
        ConflictError: The first request with this key is still running.
    """
    _check_key(key)
    digest = hashlib.sha256()
    for part in (name.encode(), query.encode(), body):
        digest.update(len(part).to_bytes(8) + part)
    wanted = KeyedRequest(account_id=actor.account_id, key=key, name=name, sha256=digest.digest())
    lock = func.hashtextextended(f"idempotency {actor.account_id} {key}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(lock))):
        raise ConflictError(
            f"The first request with the Idempotency-Key {key!r} is still running; send this one "
            "again in a moment to get its answer."
        )
    kept = session.execute(
        select(KeptAnswer).where(
            KeptAnswer.account_id == actor.account_id,
            KeptAnswer.key == key,
            KeptAnswer.created_at > func.now() - KEPT_FOR,
        )
    ).scalar_one_or_none()
    if kept is None:
        return wanted
    if kept.request_sha256 != wanted.sha256:
        raise InvalidInputError(
            f"The Idempotency-Key {key!r} was used for another request ({kept.request}, at "
            f"{kept.created_at:%Y-%m-%d %H:%M:%S} UTC); take a new key for a new request."
        )
    return Answer(status=kept.status, headers=kept.headers, body=kept.body)


def forget_old_answers(session: Session) -> int:
    """Remove answers that are older than a day; return how many."""
    old = delete(KeptAnswer).where(KeptAnswer.created_at <= func.now() - KEPT_FOR)
    return len(session.scalars(old.returning(KeptAnswer.account_id)).all())


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidInputError(
            f"The Idempotency-Key {key[:40]!r} has {len(key)} characters; send 1 to {LONGEST_KEY} "
            "printable ASCII characters that no other request has, such as a random UUID."
        )
