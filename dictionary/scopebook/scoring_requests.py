"""Ask for scores: of the labels of a release, by vectors alone or by a judge as well."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step
from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError
from scopebook.jobs import COMPARE_SAE, SCORE_SAE
from scopebook.jobs_under_way import refuse_beside
from scopebook.judges import require_other_judge
from scopebook.label_scores import EMBEDDING, JUDGED, SCORERS, labelers_of, labels_by_source
from scopebook.labeling_requests import LanguageModel
from scopebook.panels import panel_steps
from scopebook.quotas import within_budget
from scopebook.release_names import shown
from scopebook.releases import find_release, find_saes
from scopebook.steps import NewStep, create_job

SCORE_JOB: Final = "score"
#: The database lock of those who ask for scores; the number is ours alone.
_ASKING: Final = 7_263_015
SOURCES: Final = ("keywords", "llm")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which labels are scored, and how."""

    #: None: all that can be, which without a judge is the comparison of vectors.
    scorers: Sequence[str] | None = None
    #: Score the labels of so many features of a layer, drawn by their number; None: of all.
    sample: int | None = None
    #: Score the newest labeling of this source; None: the labels in force, of which a judge is
    #: asked about those that are not keywords.
    source: str | None = None
    allow_same_judge: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.scorers or () if name not in SCORERS]
        if unknown or (self.scorers is not None and not self.scorers):
            raise InvalidInputError(
                f"{shown(', '.join(unknown))} is no scorer; name one or more of "
                f"{', '.join(SCORERS)}."
            )
        if self.source not in (None, *SOURCES):
            raise InvalidInputError(
                f"{shown(str(self.source))} is no source whose labels can be scored; expected is "
                f"{' or '.join(SOURCES)}, or none for the labels in force."
            )
        if self.sample is not None and self.sample < 1:
            raise InvalidInputError(
                f"A sample of {self.sample} features is none; give a number above 0."
            )

    def chosen(self, judge: LanguageModel | None) -> list[str]:
        """Return the scorers in order; refuse those that ask a judge where there is none."""
        wanted: Sequence[str] = SCORERS if judge is not None else (EMBEDDING,)
        wanted = wanted if self.scorers is None else self.scorers
        asking = [name for name in wanted if name in JUDGED]
        if asking and judge is None:
            raise InvalidInputError(
                f"Scores by {', '.join(asking)} need a model that judges; give --endpoint URL and "
                "--llm MODEL, or SCOPEBOOK_JUDGE_ENDPOINT and SCOPEBOOK_JUDGE_MODEL."
            )
        return [name for name in SCORERS if name in wanted]


def score_once(
    session: Session,
    release_name: str,
    layers: Sequence[int] | None = None,
    *,
    judge: LanguageModel | None = None,
    wanted: Wanted | None = None,
) -> int:
    """Return the id of a new job that scores labels; what is stored is not asked for again.

    Raises InvalidInputError for layers without labels, and for a judge that worded some of them;
    ConflictError while labels of the release are scored.
    """
    wanted = wanted or Wanted()
    judge = judge and within_budget(judge)
    scorers = wanted.chosen(judge)
    asks = judge if any(name in JUDGED for name in scorers) else None
    release = find_release(session, release_name)
    saes = find_saes(session, release=release.name, layers=layers)
    # Two who ask at the same time wait for each other until the end of the transaction.
    session.execute(select(func.pg_advisory_xact_lock(_ASKING, release.id)))
    refuse_beside(session, SCORE_JOB, release.name, does="scores labels of")
    _check_labels(session, release.name, saes, wanted, asks)
    same = _check_judge(session, saes, wanted, asks)
    title = f"Score {release.name}" + (f" by {asks.model}" if asks else "")
    job = create_job(
        session,
        SCORE_JOB,
        title + (", which also worded labels" if same else ""),
        [*panel_steps(session, saes), *_steps(saes, scorers, wanted, asks)],
        parameters={
            "release": release.name,
            "layers": [sae.layer for sae in saes],
            "scorers": scorers,
            "sample": wanted.sample,
            "source": wanted.source,
            "judge": asdict(asks) if asks else None,
        },
    )
    return job.id


def _check_labels(
    session: Session,
    release: str,
    saes: Sequence[Sae],
    wanted: Wanted,
    judge: LanguageModel | None,
) -> None:
    """Refuse layers of whose shown examples no label speaks, and a judge with nothing to judge."""
    found: dict[int, Mapping[str, int]] = {
        sae.layer: labels_by_source(session, sae, sae.current_run_id, wanted.source)
        if sae.current_run_id is not None
        else {}
        for sae in saes
    }
    bare = [layer for layer, counts in found.items() if not counts]
    if bare or not saes:
        named = ", ".join(map(str, bare)) or "(none was named)"
        raise InvalidInputError(
            f"Layer {named} of {release} has no "
            + (f"labels by {wanted.source}" if wanted.source else "labels")
            + " of the examples that are shown; make some with `scopebook label` first."
        )
    sources = {source for counts in found.values() for source in counts}
    if judge is not None and wanted.source is None and sources == {"keywords"}:
        raise InvalidInputError(
            f"All labels in force of {release} are keywords, about which a judge is not asked "
            "unless --source keywords says so; or let a model word labels with `scopebook label`."
        )


def _check_judge(
    session: Session, saes: Sequence[Sae], wanted: Wanted, judge: LanguageModel | None
) -> bool:
    """Return whether the judge worded labels that it would score; refuse it unless allowed."""
    if judge is None:
        return False
    labelers: Collection[str] = {
        name
        for sae in saes
        if sae.current_run_id is not None
        for name in labelers_of(session, sae, sae.current_run_id, wanted.source)
    }
    allowed = wanted.allow_same_judge
    return require_other_judge(labelers, judge.model, allow_same=allowed) is not None


def _steps(
    saes: Sequence[Sae], scorers: Sequence[str], wanted: Wanted, judge: LanguageModel | None
) -> list[NewStep]:
    """Return a step for each layer; with a judge one after the other, so that one budget holds."""
    return [
        NewStep(
            kind=SCORE_SAE if judge else COMPARE_SAE,
            stage=1 + (place if judge else 0),
            title=f"Score layer {sae.layer}" + (f" by {judge.model}" if judge else ""),
            parameters={
                "sae_id": sae.id,
                "run_id": sae.current_run_id,
                "judge": asdict(judge) if judge else None,
                "scorers": list(scorers),
                "sample": wanted.sample,
                "source": wanted.source,
                "allow_same_judge": wanted.allow_same_judge,
            },
        )
        for place, sae in enumerate(saes)
    ]


def told_scores(session: Session, job_id: int) -> list[str]:
    """Return the titles of a job's scoring steps that say what they take, or what came of them."""
    return list(
        session.scalars(
            select(Step.title)
            .where(
                Step.job_id == job_id,
                Step.kind.in_((SCORE_SAE, COMPARE_SAE)),
                Step.title.contains(": "),
            )
            .order_by(Step.stage, Step.id)
        )
    )
