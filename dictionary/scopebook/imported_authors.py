"""Authors of other instances: names under which imported words stand, and nobody's accounts here.

Whether `ada` there is `ada` here cannot be known, so an imported author never becomes an account
that somebody can come in by, and is shown as `ada (imported)`: no account may be called so.
"""

from itertools import count

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account


def author_id(session: Session, name: str) -> int:
    """Return the row id of the imported author of that name, who is added if there is none."""
    found = session.scalar(select(Account.id).where(Account.imported_name == name))
    return found or _add(session, name)


def _add(session: Session, name: str) -> int:
    """Add an author; another instance's `Ada` and `ada` may be two people."""
    shown = (f"{name} (imported{f' {again}' if again else ''})" for again in count())
    free = next(
        one
        for one in shown
        if not session.scalar(select(Account.id).where(func.lower(Account.name) == one.lower()))
    )
    author = Account(name=free, role="viewer", imported_name=name, disabled_at=func.now())
    session.add(author)
    session.flush()
    return author.id
