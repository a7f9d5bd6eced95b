"""How far people agree on labels: in percent, and beyond chance by Krippendorff's alpha.

What is rated is a label; a rating is a person's verdict on it that stands. What an author says of
their own proposal is no rating.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.db.label_tables import Label
from scopebook.db.review_tables import FeatureTag, Review, Tag
from scopebook.releases import find_saes


@dataclass(frozen=True, kw_only=True)
class Rating:
    """One person's verdict on one label."""

    label_id: int
    feature_id: int
    author: str
    verdict: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far people agree on the labels that at least two of them have rated."""

    #: Labels that at least two have rated.
    labels: int
    ratings: int
    #: Share of pairs of ratings of one label that are the same; null: there is no pair.
    percent: float | None
    #: 1: they agree; 0: as by chance; null: it is not defined, e.g. all verdicts are the same.
    alpha: float | None


@dataclass(frozen=True, kw_only=True)
class AgreementReport:
    """Agreement over all, and parted."""

    overall: Agreement
    pairs: list[tuple[str, str, Agreement]]
    tags: list[tuple[str, Agreement]]
    #: By the month of a label's newest verdict, e.g. `2026-11`.
    months: list[tuple[str, Agreement]]


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Return alpha for nominal data; `units` are the ratings of each thing, missing ones left out.

    1 - observed / expected disagreement, over the matrix of coincidences (Krippendorff 2011,
    "Computing Krippendorff's Alpha-Reliability", section C): of a unit with m ratings each of its
    ordered pairs counts 1 / (m - 1).
    """
    coincidences: Counter[tuple[Hashable, Hashable]] = Counter()
    for ratings in units:
        counts = Counter(ratings)
        m = counts.total()
        if m < 2:
            continue
        for one, n_one in counts.items():
            for other, n_other in counts.items():
                pairs = n_one * (n_other - (one == other))
                coincidences[one, other] += pairs / (m - 1)  # type: ignore[assignment]
    totals: Counter[Hashable] = Counter()
    for (one, _), weight in coincidences.items():
        totals[one] += weight
    n = totals.total()
    observed = sum(weight for (one, other), weight in coincidences.items() if one != other)
    expected = n * n - sum(total * total for total in totals.values())
    return None if expected <= 0 else 1 - (n - 1) * observed / expected


def agreement_of(units: Iterable[Sequence[str]]) -> Agreement:
    """Return how far the ratings of each unit agree."""
    several = [ratings for ratings in units if len(ratings) > 1]
    pairs = [one == other for ratings in several for one, other in combinations(ratings, 2)]
    return Agreement(
        labels=len(several),
        ratings=sum(map(len, several)),
        percent=sum(pairs) / len(pairs) if pairs else None,
        alpha=krippendorff_alpha(several),
    )


def agreement_report(session: Session, *, release: str | None = None) -> AgreementReport:
    """Return how far people agree on the labels of a release, or of all."""
    ratings = _ratings(session, release)
    by_label: dict[int, list[Rating]] = defaultdict(list)
    for rating in ratings:
        by_label[rating.label_id].append(rating)
    units = list(by_label.values())
    return AgreementReport(
        overall=_agreement(units),
        pairs=_pairs(units),
        tags=_parted(units, _tags_of_features(session, units)),
        months=_parted(units, lambda unit: [f"{max(r.created_at for r in unit):%Y-%m}"]),
    )


def _ratings(session: Session, release: str | None) -> list[Rating]:
    statement = (
        select(Review, Account.name)
        .join(Account, Account.id == Review.account_id)
        .join(Label, Label.id == Review.label_id)
        .where(Label.account_id.is_distinct_from(Review.account_id))
        .ext(distinct_on(Review.label_id, Review.account_id))
        .order_by(Review.label_id, Review.account_id, Review.id.desc())
    )
    if release is not None:
        saes = find_saes(session, release=release)
        statement = statement.where(Label.sae_id.in_([sae.id for sae in saes]))
    return [
        Rating(
            label_id=review.label_id,
            feature_id=review.feature_id,
            author=name,
            verdict=review.verdict,
            created_at=review.created_at,
        )
        for review, name in session.execute(statement)
        if review.verdict != "withdrawn"
    ]


def _agreement(units: Iterable[Sequence[Rating]]) -> Agreement:
    return agreement_of([rating.verdict for rating in unit] for unit in units)


def _pairs(units: Iterable[Sequence[Rating]]) -> list[tuple[str, str, Agreement]]:
    shared: dict[tuple[str, str], list[tuple[Rating, Rating]]] = defaultdict(list)
    for unit in units:
        for one, other in combinations(sorted(unit, key=lambda r: r.author), 2):
            shared[one.author, other.author].append((one, other))
    return [(one, other, _agreement(both)) for (one, other), both in sorted(shared.items())]


def _parted(
    units: Iterable[Sequence[Rating]], names: Callable[[Sequence[Rating]], list[str]]
) -> list[tuple[str, Agreement]]:
    parts: dict[str, list[Sequence[Rating]]] = defaultdict(list)
    for unit in units:
        for name in names(unit):
            parts[name].append(unit)
    found = [(name, _agreement(part)) for name, part in sorted(parts.items())]
    return [(name, agreement) for name, agreement in found if agreement.labels]


def _tags_of_features(
    session: Session, units: Sequence[Sequence[Rating]]
) -> Callable[[Sequence[Rating]], list[str]]:
    features = {rating.feature_id for unit in units for rating in unit}
    rows = session.execute(
        select(FeatureTag.feature_id, Tag.name)
        .join(Tag, Tag.id == FeatureTag.tag_id)
        .where(FeatureTag.feature_id.in_(features))
    )
    tags: dict[int, list[str]] = defaultdict(list)
    for feature_id, name in rows:
        tags[feature_id].append(name)
    return lambda unit: tags[unit[0].feature_id]
