"""Senses as a person parts or joins them: a labeling of one feature, beside the machine's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, Labeling, LabelOutcome, Sense
from scopebook.db.review_tables import Change, GroupingChoice
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.example_marks import positions_of
from scopebook.feature_writes import FeatureWrite, Said, record, sentence
from scopebook.labelings import sha256_of
from scopebook.labels import SenseView, chosen_grouping, labeling_in_force, senses_of
from scopebook.reviews import LONGEST_TEXT, add_review, shown_run

METHOD: Final = "grouping"


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A sense to be: of which shown ones it is made, and by whose label it is worded."""

    members: Sequence[int]
    keywords: Sequence[str]
    representatives: Sequence[int]
    label_id: int | None


def merge_senses(
    session: Session, write: FeatureWrite, ordinals: Sequence[int], reason: str | None
) -> Change:
    """Join senses into one, which keeps the label of the largest."""
    run_id, senses = _shown(session, write.feature_id)
    joined = [sense for sense in senses if sense.ordinal in set(ordinals)]
    if len(joined) < 2 or len(joined) < len(set(ordinals)):
        raise InvalidInputError(
            "Name at least two senses that the feature has to be joined; it has "
            f"{', '.join(str(sense.ordinal) for sense in senses) or 'none'}."
        )
    one = _Part(
        members=sorted(at for sense in joined for at in sense.members),
        keywords=list(dict.fromkeys(word for sense in joined for word in sense.keywords)),
        representatives=[at for sense in joined for at in sense.representatives],
        label_id=joined[0].label.id if joined[0].label else None,
    )
    others = [_as_it_is(sense) for sense in senses if sense not in joined]
    return _publish(session, write, run_id, [one, *others], reason)


def split_sense(
    session: Session,
    write: FeatureWrite,
    ordinal: int,
    context_ids: Sequence[int],
    reason: str | None,
) -> Change:
    """Take the examples of some contexts out of a sense into a new one, which has no label yet."""
    run_id, senses = _shown(session, write.feature_id)
    sense = next((sense for sense in senses if sense.ordinal == ordinal), None)
    if sense is None:
        raise NotFoundError(f"This feature has no sense {ordinal}; take one from its senses.")
    named = set(positions_of(session, write.feature_id, context_ids))
    out = sorted(named & set(sense.members))
    rest = sorted(set(sense.members) - named)
    if not out or not rest:
        raise InvalidInputError(
            f"Name some, but not all, of the examples of sense {ordinal}: {len(out)} of its "
            f"{len(sense.members)} are named."
        )
    kept = _Part(
        members=rest,
        keywords=sense.keywords,
        representatives=[at for at in sense.representatives if at in rest],
        label_id=sense.label.id if sense.label else None,
    )
    new = _Part(members=out, keywords=[], representatives=[], label_id=None)
    others = [_as_it_is(other) for other in senses if other is not sense]
    return _publish(session, write, run_id, [kept, new, *others], reason)


def restore_grouping(
    session: Session, write: FeatureWrite, run_id: int, labeling_id: int | None
) -> Change:
    """Return to the machine's senses, or to an earlier grouping by a person."""
    before = chosen_grouping(session, write.feature_id, run_id)
    if before == labeling_id:
        raise ConflictError("The senses are the machine's already; nothing was changed.")
    choose_grouping(session, write, run_id, labeling_id)
    return _recorded(session, write, run_id, before, labeling_id, None)


def _shown(session: Session, feature_id: int) -> tuple[int, list[SenseView]]:
    run_id = shown_run(session, feature_id)
    if run_id is None:
        raise NotFoundError("Nothing has been collected for this feature, so it has no senses.")
    return run_id, senses_of(session, feature_id, run_id)


def _as_it_is(sense: SenseView) -> _Part:
    return _Part(
        members=sense.members,
        keywords=sense.keywords,
        representatives=sense.representatives,
        label_id=sense.label.id if sense.label else None,
    )


def _publish(
    session: Session,
    write: FeatureWrite,
    run_id: int,
    parts: Sequence[_Part],
    reason: str | None,
) -> Change:
    """Add the parts as senses of a labeling of the writer's own, and let it hold."""
    machine = labeling_in_force(session, write.feature_id, run_id)
    assert machine is not None
    before = chosen_grouping(session, write.feature_id, run_id)
    largest = sorted(parts, key=lambda part: -len(part.members))
    labeling = _begin(session, write, machine, [part.members for part in largest])
    total = sum(len(part.members) for part in largest)
    for ordinal, part in enumerate(largest):
        sense = Sense(
            feature_id=write.feature_id,
            labeling_id=labeling.id,
            ordinal=ordinal,
            share=len(part.members) / total,
            keywords=list(part.keywords),
            members=list(part.members),
            representatives=list(part.representatives),
        )
        session.add(sense)
        session.flush()
        if part.label_id is not None:
            _word(session, write, labeling, sense, part.label_id)
    choose_grouping(session, write, run_id, labeling.id)
    return _recorded(session, write, run_id, before, labeling.id, reason)


def _begin(
    session: Session, write: FeatureWrite, machine: Labeling, groups: Sequence[Sequence[int]]
) -> Labeling:
    parameters = {
        "features": [write.feature_id & (2**20 - 1)],
        "account": write.actor.name,
        "from": machine.id,
    }
    labeling = Labeling(
        sae_id=write.sae_id,
        run_id=machine.run_id,
        source="person",
        method=METHOD,
        parameters=parameters,
        sha256=sha256_of(METHOD, parameters | {"groups": [list(group) for group in groups]}),
        finished_at=func.now(),
    )
    session.add(labeling)
    session.flush()
    outcome = session.get_one(LabelOutcome, (machine.id, write.feature_id))
    session.add(
        LabelOutcome(
            labeling_id=labeling.id,
            feature_id=write.feature_id,
            status="ok",
            kind=outcome.kind,
            unassigned=outcome.unassigned,
            example_set=outcome.example_set,
            held_out=list(outcome.held_out),
        )
    )
    session.flush()
    return labeling


def _word(
    session: Session, write: FeatureWrite, labeling: Labeling, sense: Sense, label_id: int
) -> None:
    """Give a sense the words that it had before; a person's are theirs as before."""
    old = session.get_one(Label, label_id)
    machines = old.source in ("keywords", "llm")
    label = Label(
        feature_id=old.feature_id,
        sae_id=old.sae_id,
        labeling_id=labeling.id if machines else None,
        sense_id=sense.id,
        text=old.text,
        description=old.description,
        kind=old.kind,
        confidence=old.confidence,
        source=old.source,
        method=old.method,
        author=old.author,
        account_id=old.account_id,
        n_examples=len(sense.members),
        share=sense.share,
        provenance=old.provenance | {"label": old.id},
        supersedes_id=old.id,
        current=False,
    )
    session.add(label)
    session.flush()
    if not machines:
        # Counted in any case: it was in force before, and its words are the same.
        add_review(session, write, label, "accept", None, counts=True)


def choose_grouping(
    session: Session, write: FeatureWrite, run_id: int, labeling_id: int | None
) -> None:
    """Add which senses hold from now on."""
    session.add(
        GroupingChoice(
            feature_id=write.feature_id,
            run_id=run_id,
            labeling_id=labeling_id,
            account_id=write.actor.account_id,
        )
    )
    session.flush()


def _recorded(
    session: Session,
    write: FeatureWrite,
    run_id: int,
    before: int | None,
    after: int | None,
    reason: str | None,
) -> Change:
    return record(
        session,
        write,
        Said(
            kind="grouping",
            slot=f"grouping:{run_id}",
            before=_described(session, before),
            after=_described(session, after),
            reason=sentence(reason, "reason", longest=LONGEST_TEXT),
            settles=True,
        ),
    )


def _described(session: Session, labeling_id: int | None) -> dict[str, object] | None:
    if labeling_id is None:
        return None
    senses = session.scalar(
        select(func.count()).select_from(Sense).where(Sense.labeling_id == labeling_id)
    )
    return {"labeling_id": labeling_id, "senses": senses}
