"""People who write to features, for tests."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_labeling,
    make_release,
    make_run,
)
from scopebook.accounts import Actor, Role
from scopebook.db.account_tables import Account
from scopebook.db.label_tables import Label, Labeling, LabelOutcome, Sense
from scopebook.db.tables import Context, Run, Sae
from scopebook.feature_writes import FeatureWrite, open_write
from scopebook.labelings import settle_labels


def make_actor(session: Session, name: str, role: Role = "annotator") -> Actor:
    """Add an account, and return it as one who acts."""
    account = Account(name=name, role=role)
    session.add(account)
    session.flush()
    return Actor(account_id=account.id, name=name, role=role)


def make_reviewable(
    session: Session, *, indices: Sequence[int] = (0,), texts: Sequence[str] = ("abcdef", "ghijkl")
) -> tuple[Sae, Run]:
    """Add an SAE whose features `indices` fire in each text, and are seen less the higher."""
    [sae] = make_release(session, layers=[1])
    run = make_run(session, [sae], make_corpus(session, texts))
    contexts = session.scalars(select(Context.id).order_by(Context.id)).all()
    for index in indices:
        make_evidence(
            session,
            run,
            sae,
            index,
            examples=make_examples(contexts),
            density=0.5 / (index + 1),
        )
    return sae, run


def say(
    session: Session,
    sae: Sae,
    run: Run,
    text: str,
    *,
    index: int = 0,
    source: str = "llm",
    senses: Sequence[tuple[str, Sequence[int]]] = (),
) -> tuple[Labeling, Label]:
    """Let a machine word a feature, and its senses with these members."""
    labeling = make_labeling(session, sae, run.id, source=source)
    key = feature_id(sae, index)
    session.add(
        LabelOutcome(
            labeling_id=labeling.id, feature_id=key, status="ok", kind="context",
            example_set=b"a" * 32,
        )
    )  # fmt: skip
    label = machine_label(labeling, key, text)
    session.add(label)
    for ordinal, (words, members) in enumerate(senses):
        sense = Sense(
            feature_id=key, labeling_id=labeling.id, ordinal=ordinal, share=len(members) / 10,
            keywords=[words], members=list(members),
        )  # fmt: skip
        session.add(sense)
        session.flush()
        session.add(machine_label(labeling, key, words, sense))
    session.flush()
    settle_labels(session, [sae.id])
    return labeling, label


def machine_label(labeling: Labeling, key: int, text: str, sense: Sense | None = None) -> Label:
    """Return what a labeling says of a feature or a sense."""
    return Label(
        feature_id=key,
        sae_id=labeling.sae_id,
        labeling_id=labeling.id,
        sense_id=sense.id if sense else None,
        text=text,
        source=labeling.source,
        method=labeling.method,
        provenance={},
        current=False,
    )


def hold(session: Session, actor: Actor, sae: Sae, index: int = 0) -> FeatureWrite:
    """Hold a feature for one write, as it is."""
    return open_write(session, actor, feature_id(sae, index), None)


def in_force(session: Session, sae: Sae, index: int = 0) -> set[str]:
    """Return the labels in force of a feature and its senses."""
    return set(
        session.scalars(
            select(Label.text).where(Label.feature_id == feature_id(sae, index), Label.current)
        )
    )
