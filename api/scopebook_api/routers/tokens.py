"""API tokens: one's own, and for an admin everybody's."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from scopebook.errors import ForbiddenError
from scopebook.tokens import TokenView, create_token, list_tokens, revoke_token
from scopebook_api.account_schemas import ApiTokenMade, ApiTokenRead, NewApiToken
from scopebook_api.deps import DbSession, InPerson, Me, kept_nowhere
from scopebook_api.schemas import Page, problems

router = APIRouter(
    prefix="/tokens",
    tags=["accounts"],
    dependencies=[Depends(kept_nowhere)],
    responses=problems(404),
)


@router.get("", response_model=Page[ApiTokenRead])
def browse(
    session: DbSession,
    me: Me,
    everybody: Annotated[bool, Query(description="Of all accounts; for admins.")] = False,
) -> dict[str, object]:
    """List one's own tokens, the newest first."""
    if everybody:
        me.require("admin")
    return {"items": list_tokens(session, owner=None if everybody else me.name), "next": None}


@router.post("", response_model=ApiTokenMade, status_code=201)
def create(session: DbSession, me: InPerson, wanted: NewApiToken) -> dict[str, object]:
    """Make a token for oneself; its secret is told only in this answer."""
    if me.via == "machine":
        raise ForbiddenError(
            "Nobody has to log in here, so a script needs no token; `scopebook token create NAME` "
            "makes one for the time when there are accounts."
        )
    token, secret = create_token(
        session, wanted.name, owner=me.name, scope=wanted.scope, days=wanted.days, by=me
    )
    return {"token": token, "secret": secret}


@router.delete("/{token_id}", response_model=ApiTokenRead)
def revoke(session: DbSession, me: InPerson, token_id: int) -> TokenView:
    """Make a token worthless: one's own, or anybody's for an admin."""
    return revoke_token(session, token_id, by=me)
