"""Releases, their SAEs and corpora: what this instance holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ScalarSelect, cast, func, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.tables import (
    FEATURE_BITS,
    Corpus,
    Evidence,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
)
from scopebook.errors import InvalidInputError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class SaeReport:
    """One layer of a release, with how far its dictionary is."""

    layer: int
    set_name: str
    kind: str
    features: int
    alive: int | None
    labelled: int
    corpus: str | None
    tokens_seen: int | None


@dataclass(frozen=True, kw_only=True)
class ReleaseReport:
    """A release with its registered layers."""

    name: str
    model: str
    width: int
    k: int | None
    source: str
    revision: str | None
    caution: str | None
    saes: list[SaeReport]


def list_releases(session: Session) -> list[ReleaseReport]:
    """Return all releases with their layers, by name."""
    layers = _layers(session)
    rows = session.execute(
        select(Release, Model.name).join(Model, Model.id == Release.model_id).order_by(Release.name)
    )
    return [
        ReleaseReport(
            name=release.name,
            model=model,
            width=release.width,
            k=release.k,
            source=release.source,
            revision=release.revision,
            caution=release.caution,
            saes=[_sae_report(release.set_name, *row) for row in layers.get(release.id, [])],
        )
        for release, model in rows
    ]


_Layer = tuple[Sae, int | None, int, str | None, int | None]


def fired_features() -> ScalarSelect[int]:
    """Return, for a query over SAEs, how many features of each fire in the run that it shows."""
    first_id = cast(Sae.id, BigInteger) * 2**FEATURE_BITS
    return (
        select(func.count(Evidence.feature_id))
        .where(
            Evidence.run_id == Sae.current_run_id,
            Evidence.count > 0,
            Evidence.feature_id.between(first_id, first_id + (2**FEATURE_BITS - 1)),
        )
        .correlate(Sae)
        .scalar_subquery()
    )


def _layers(session: Session) -> dict[int, list[_Layer]]:
    alive = fired_features()
    labelled = (
        select(func.count())
        .where(Label.sae_id == Sae.id, Label.current, Label.sense_id.is_(None))
        .correlate(Sae)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Sae, alive, labelled, Corpus.name, Run.tokens_seen)
        .outerjoin(Run, Run.id == Sae.current_run_id)
        .outerjoin(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .outerjoin(Corpus, Corpus.id == Tokenisation.corpus_id)
        .order_by(Sae.release_id, Sae.layer)
    )
    layers: dict[int, list[_Layer]] = {}
    for sae, alive_count, labelled_count, corpus, tokens in rows:
        layers.setdefault(sae.release_id, []).append(
            (sae, alive_count, labelled_count, corpus, tokens)
        )
    return layers


def _sae_report(
    set_name: str,
    sae: Sae,
    alive: int | None,
    labelled: int,
    corpus: str | None,
    tokens_seen: int | None,
) -> SaeReport:
    return SaeReport(
        layer=sae.layer,
        set_name=set_name,
        kind=sae.kind,
        features=sae.d_sae,
        alive=None if sae.current_run_id is None else alive,
        labelled=labelled,
        corpus=corpus,
        tokens_seen=tokens_seen,
    )


def find_release(session: Session, name: str) -> Release:
    """Return the release of that name; the last part of a repo id is enough."""
    rows = list(
        session.scalars(
            select(Release).where(
                (Release.name == name) | Release.name.endswith(f"/{name}", autoescape=True)
            )
        )
    )
    if len(rows) == 1:
        return rows[0]
    known = list(session.scalars(select(Release.name).order_by(Release.name)))
    if rows:
        raise InvalidInputError(
            f"Release {name!r} can be {' or '.join(row.name for row in rows)}; give the full name."
        )
    raise NotFoundError(
        f"There is no release {name!r} here; "
        + (f"there is {', '.join(known)}." if known else "add one with `scopebook add`.")
    )


def sae_ids(
    session: Session, *, release: str | None = None, layers: Sequence[int] | None = None
) -> list[int]:
    """Return the ids of the SAEs a filter means; see `find_saes`."""
    return [sae.id for sae in find_saes(session, release=release, layers=layers)]


def find_saes(
    session: Session, *, release: str | None = None, layers: Sequence[int] | None = None
) -> list[Sae]:
    """Return the SAEs a filter means, in order of release and layer; none named means all."""
    statement = select(Sae).order_by(Sae.release_id, Sae.layer)
    if release is not None:
        statement = statement.where(Sae.release_id == find_release(session, release).id)
    saes = list(session.scalars(statement))
    if layers is None:
        return saes
    known = {sae.layer for sae in saes}
    missing = sorted(set(layers) - known)
    if missing:
        raise NotFoundError(
            f"Layer {', '.join(map(str, missing))} is not registered"
            + (f" for {release}" if release else "")
            + f"; there is {', '.join(map(str, sorted(known))) or 'none'}."
        )
    return [sae for sae in saes if sae.layer in layers]
