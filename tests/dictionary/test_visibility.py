"""Who sees a release, and that no query of a session tells of one that is left out."""

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_model,
    make_release,
    make_run,
)
from people import make_account, make_actor
from scopebook.accounts import ROLES, actor_of, local_actor
from scopebook.audit import list_audit
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label
from scopebook.db.tables import Evidence, Feature, Release, Run, Sae
from scopebook.entries import refresh_saes
from scopebook.errors import NotFoundError
from scopebook.registration import request_release
from scopebook.releases import find_release, list_releases
from scopebook.spelling import words_of
from scopebook.visibility import hidden_from, leave_out, read_visibility, set_visibility

KEPT, OPEN = "SAE-Res-Kept", "SAE-Res-Open"
EXAMPLES = make_examples([1], peak=1, end=2)


@pytest.fixture
def saes(session: Session) -> dict[str, Sae]:
    """The SAE of each of two releases, with a label and evidence for each."""
    model, documents = make_model(session), make_corpus(session, ["text"])
    saes = {}
    for name in (KEPT, OPEN):
        (sae,) = make_release(session, name, model=model, layers=[1], set_name=name)
        make_evidence(session, make_run(session, [sae], documents), sae, 7, examples=EXAMPLES)
        make_label(session, sae, 7, "names of rivers")
        saes[name] = sae
        documents = make_corpus(session, ["text"], name=f"after {name}")
    return saes


def keep(session: Session, role: Any = None, accounts: tuple[str, ...] = ()) -> None:
    set_visibility(session, KEPT, role=role, accounts=accounts, by=local_actor(session))


def seen_by(session: Session, name: str, role: str) -> list[str]:
    leave_out(session, hidden_from(session, make_actor(session, name, role)))
    seen = [release.name for release in list_releases(session)]
    leave_out(session, None)
    return seen


@pytest.mark.usefixtures("saes")
def test_a_release_is_for_all_unless_it_is_kept(session: Session) -> None:
    assert read_visibility(session, KEPT).role is None
    assert seen_by(session, "vera", "viewer") == [KEPT, OPEN]


@pytest.mark.usefixtures("saes")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kept_for", ROLES)
def test_what_is_kept_for_a_role_is_for_those_above_it_too(
    session: Session, role: str, kept_for: str
) -> None:
    keep(session, role=kept_for)

    sees = ROLES.index(role) >= ROLES.index(kept_for)

    assert (KEPT in seen_by(session, "somebody", role)) == sees


@pytest.mark.usefixtures("saes")
def test_what_is_kept_for_accounts_is_for_admins_and_no_others(session: Session) -> None:
    ben = make_account(session, "ben")
    keep(session, accounts=("BEN",))

    assert KEPT not in seen_by(session, "ed", "editor")
    assert KEPT in seen_by(session, "ada", "admin")
    assert hidden_from(session, actor_of(ben, "login")) is None


@pytest.mark.usefixtures("saes")
def test_a_token_sees_no_more_than_its_scope(session: Session) -> None:
    keep(session, role="editor")
    ada = make_account(session, "ada", "admin")

    hidden = hidden_from(session, actor_of(ada, "token", role="viewer"))

    assert hidden is not None
    assert list(hidden.names) == [KEPT]


def test_no_query_tells_of_a_release_that_is_left_out(
    session: Session, saes: dict[str, Sae]
) -> None:
    keep(session, role="editor")
    kept, other = saes[KEPT].id, saes[OPEN].id
    session.expunge_all()

    leave_out(session, hidden_from(session, make_actor(session, "vera", "viewer")))

    assert session.scalars(select(Release.name)).all() == [OPEN]
    assert session.scalars(select(Sae.id)).all() == [other]
    assert session.get(Sae, kept) is None
    assert set(session.scalars(select(Feature.sae_id))) == {other}
    assert set(session.scalars(select(aliased(Label).sae_id))) == {other}
    assert session.scalars(select(Evidence.feature_id // 2**20)).all() == [other]
    assert session.scalar(select(func.count()).select_from(Run)) == 1
    within = select(Label.sae_id).where(Label.text == "names of rivers").subquery()
    assert session.scalars(select(within.c.sae_id)).all() == [other]
    counted = select(func.count(Label.id)).where(Label.sae_id == Sae.id).scalar_subquery()
    assert session.execute(select(Sae.id, counted)).all() == [(other, 1)]
    with pytest.raises(NotFoundError, match=f"There is no release '{KEPT}' here; there is {OPEN}"):
        find_release(session, KEPT)


def test_words_that_only_hidden_labels_hold_are_not_told(
    session: Session, saes: dict[str, Sae]
) -> None:
    keep(session, role="editor")
    make_label(session, saes[KEPT], 8, "names of glaciers")
    refresh_saes(session, [sae.id for sae in saes.values()])
    query = "glaciars rivvers"
    told = words_of(session, query).meant

    leave_out(session, hidden_from(session, make_actor(session, "vera", "viewer")))

    assert told == {"glaciars": ["glaciers"], "rivvers": ["rivers"]}
    assert words_of(session, query).meant == {"rivvers": ["rivers"]}


@pytest.mark.usefixtures("saes")
def test_jobs_of_a_release_that_is_left_out_are_too(session: Session) -> None:
    keep(session, role="editor")
    session.add_all(
        Job(kind="label", title=f"Label {name}", parameters={"release": name})
        for name in (KEPT, OPEN)
    )
    for name in (KEPT, OPEN):
        request_release(session, f"/folder/{name}")
    session.flush()

    leave_out(session, hidden_from(session, make_actor(session, "vera", "viewer")))

    titles = sorted(session.scalars(select(Job.title)))
    assert titles == [f"Add /folder/{OPEN}", f"Label {OPEN}", "Test"]


@pytest.mark.usefixtures("saes")
def test_a_session_that_serves_somebody_else_leaves_out_nothing_more(session: Session) -> None:
    keep(session, role="editor")
    leave_out(session, hidden_from(session, make_actor(session, "vera", "viewer")))

    leave_out(session, hidden_from(session, make_actor(session, "ada", "admin")))

    assert [release.name for release in list_releases(session)] == [KEPT, OPEN]


@pytest.mark.usefixtures("saes")
def test_the_log_tells_who_saw_a_release_before_and_after(session: Session) -> None:
    make_account(session, "ben")
    keep(session, role="editor", accounts=("ben",))
    keep(session)

    entries = list_audit(session, action="changed who sees a release")[0]

    some, everybody = {"role": "editor", "accounts": ["ben"]}, {"role": None, "accounts": []}
    assert [entry.details for entry in entries] == [
        {"before": some, "after": everybody},
        {"before": everybody, "after": some},
    ]


@pytest.mark.usefixtures("saes")
def test_an_unknown_account_keeps_nothing(session: Session) -> None:
    with pytest.raises(NotFoundError, match="no account 'nobody'"):
        keep(session, accounts=("nobody",))
