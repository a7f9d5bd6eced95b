"""Who may come in when an instance starts: nobody from elsewhere before there is an account."""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.account_changes import add_account, has_open_link, link_url, make_link
from scopebook.accounts import find_account, has_accounts, local_actor
from scopebook.embedded.programs import is_loopback, page_url
from scopebook.errors import ConflictError, NotFoundError
from scopebook.settings import Settings

ALONE = (
    "Single user, no password: whoever sits at this machine may do everything, and nobody else can "
    "come in. `scopebook user add NAME --role admin` lets people log in instead."
)


#: The database lock of starts that make the first admin; the number is ours alone.
_ONE_AT_A_TIME: Final = 7_263_013


def open_the_door(session: Session, settings: Settings) -> str:
    """Return what to say of who may come in; make the first admin where a name is given for it.

    An address that others can reach is refused while there is no account.
    """
    return make_first_admin(session, settings) or watch_the_door(session, settings)


def make_first_admin(session: Session, settings: Settings) -> str | None:
    """Return what to say of the link of an admin who never came; None where there is none to make.

    The account is made where there is no other, and where a name is given for it. A link that is
    still good stays so: of two starts at once, the second would void what the first has printed.
    """
    name = settings.first_admin
    if not name:
        return None
    session.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
    if has_accounts(session) and not _never_came(session, name):
        return None
    operator = local_actor(session)
    if not has_accounts(session):
        add_account(session, name, "admin", by=operator)
    elif has_open_link(session, name):
        return (
            f"The admin {name} exists, and the link that an earlier start has printed sets the "
            f"password; `scopebook user password {name}` prints another in its place."
        )
    url = link_url(page_url(settings), make_link(session, name, by=operator))
    return f"Open this link once, within a day, to set the password of the admin {name}: {url}"


def watch_the_door(session: Session, settings: Settings) -> str:
    """Return what to say of who may come in; refuse to serve others without an account."""
    if has_accounts(session):
        return f"People log in at {page_url(settings)}/login."
    if not is_loopback(settings.host):
        raise ConflictError(
            f"Others can reach {settings.host}, and there is no account yet: make an admin by "
            "`scopebook user add NAME --role admin`, or by --first-admin NAME of `scopebook up` or "
            "`scopebook migrate`, which prints a link to set the password."
        )
    return ALONE


def _never_came(session: Session, name: str) -> bool:
    """Tell whether that is an admin who has not set a password, so that an earlier link is lost."""
    try:
        account = find_account(session, name)
    except NotFoundError:
        return False
    return (
        account.role == "admin"
        and account.password_hash is None
        and account.issuer is None
        and account.disabled_at is None
    )
