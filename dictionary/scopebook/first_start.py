"""Who may come in when an instance starts: nobody from elsewhere before there is an account."""

from sqlalchemy.orm import Session

from scopebook.account_changes import add_account, link_url, make_link
from scopebook.accounts import find_account, has_accounts, local_actor
from scopebook.embedded.programs import is_loopback, page_url
from scopebook.errors import ConflictError, NotFoundError
from scopebook.settings import Settings

ALONE = (
    "Single user, no password: whoever sits at this machine may do everything, and nobody else can "
    "come in. `scopebook user add NAME --role admin` lets people log in instead."
)


def open_the_door(session: Session, settings: Settings) -> str:
    """Return what to say of who may come in; make the first admin where a name is given for it.

    An address that others can reach is refused while there is no account.
    """
    name = settings.first_admin
    if has_accounts(session) and not (name and _never_came(session, name)):
        return f"People log in at {page_url(settings)}/login."
    if name:
        operator = local_actor(session)
        if not has_accounts(session):
            add_account(session, name, "admin", by=operator)
        url = link_url(page_url(settings), make_link(session, name, by=operator))
        return f"Open this link once, within a day, to set the password of the admin {name}: {url}"
    if not is_loopback(settings.host):
        raise ConflictError(
            f"Others can reach {settings.host}, and there is no account yet: make an admin by "
            "`scopebook user add NAME --role admin`, or start with --first-admin NAME, which "
            "prints a link to set the password."
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
