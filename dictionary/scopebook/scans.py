"""Ask for scans: a text, a release, and the runs that it is held against."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.corpora import find_corpus
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import (
    FEATURE_BITS,
    Corpus,
    Document,
    Evidence,
    Release,
    Run,
    Sae,
    Tokenisation,
)
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.jobs import PLAN_SCAN, REPORT_SCAN, TOKENISE_CORPUS
from scopebook.releases import find_release, find_saes
from scopebook.runs import check_weights, read_parameters, tokenisation_of
from scopebook.scan_conditions import parse_condition, resolve_condition, resolve_list
from scopebook.scan_datasets import Dataset
from scopebook.scan_parameters import CoverageList, ScanParameters
from scopebook.settings import settings
from scopebook.steps import NewStep, add_steps, create_job

SCAN_JOB: Final = "scan"
#: Flags of features that fire whatever the text is about; they are left out of the ranking.
FLAGGED: Final = frozenset({"dense", "position", "register"})


@dataclass(frozen=True, kw_only=True)
class ScanRequest:
    """What is asked of a scan beside its text."""

    release: str
    layers: Sequence[int] | None = None
    #: The corpus whose newest run is the reference; None: the runs that the dictionary shows.
    against: str | None = None
    #: A list of features that is looked for in the documents.
    coverage: str | None = None
    #: See `scopebook.scan_conditions.FORM`.
    fail_if: Sequence[str] = ()
    fdr: float = 0.05


def registered_dataset(session: Session, name: str) -> Dataset:
    """Return a corpus that people have registered as the text of a scan."""
    corpus = find_corpus(session, name)
    documents = select(func.count()).where(Document.corpus_id == corpus.id)
    return Dataset(
        corpus_id=corpus.id,
        name=corpus.name,
        owned=False,
        documents=session.scalars(documents).one(),
    )


def check_request(session: Session, wanted: ScanRequest, actor: Actor | None = None) -> None:
    """Refuse what cannot be scanned, before any text is read."""
    _resolved(session, wanted, actor)


def request_scan(
    session: Session, dataset: Dataset, wanted: ScanRequest, *, actor: Actor | None = None
) -> Scan:
    """Ask for a scan as a job; `actor` None may see all lists.

    Raises InvalidInputError or NotFoundError where a layer has no run to be held against, and for
    lists and conditions that mean nothing.
    """
    release, saes, parameters = _resolved(session, wanted, actor)
    last = select(func.max(Document.id)).where(Document.corpus_id == dataset.corpus_id)
    parameters = replace(parameters, last_document=session.scalar(last) or 0)
    corpus = session.get_one(Corpus, dataset.corpus_id)
    reference = session.get_one(Run, parameters.references[saes[0].layer])
    cut = session.get_one(Tokenisation, reference.tokenisation_id)
    tokenisation = tokenisation_of(
        session, release, corpus, context_tokens=cut.context_tokens or settings().context_tokens
    )
    title = f"Scan {dataset.name} with {release.name}"
    asked = {"release": release.name, "dataset": dataset.name}
    job = create_job(session, SCAN_JOB, title, [], parameters=asked)
    scan = Scan(
        job_id=job.id,
        release_id=release.id,
        corpus_id=corpus.id,
        owns_corpus=dataset.owned,
        tokenisation_id=tokenisation.id,
        dataset=dataset.name,
        layers=[sae.layer for sae in saes],
        parts=list(dataset.parts),
        parameters=parameters.as_json(),
    )
    session.add(scan)
    session.flush()
    job.parameters = asked | {"scan": scan.id}
    add_steps(session, job.id, _steps(scan, tokenisation))
    session.refresh(scan)
    return scan


def _steps(scan: Scan, tokenisation: Tokenisation) -> list[NewStep]:
    """Return the steps that are known; the plan adds the shards between them."""
    kinds = (
        (TOKENISE_CORPUS, 0, "Tokenise the text", {"tokenisation_id": tokenisation.id}),
        (PLAN_SCAN, 1, "Cut the text into shards", {"scan_id": scan.id}),
        (REPORT_SCAN, 3, "Hold it against the reference", {"scan_id": scan.id}),
    )
    return [
        NewStep(kind=kind, stage=stage, title=title, parameters=parameters)
        for kind, stage, title, parameters in kinds
    ]


def _resolved(
    session: Session, wanted: ScanRequest, actor: Actor | None
) -> tuple[Release, list[Sae], ScanParameters]:
    if not 0 < wanted.fdr < 1:
        raise InvalidInputError(f"The false discovery rate {wanted.fdr} is not between 0 and 1.")
    conditions = [parse_condition(text) for text in wanted.fail_if]
    release = find_release(session, wanted.release)
    saes = find_saes(session, release=release.name, layers=wanted.layers)
    references = _references(session, release, saes, wanted)
    saes = [sae for sae in saes if sae.layer in references]
    check_weights(release, saes)
    first = session.get_one(Run, references[saes[0].layer])
    coverage: CoverageList | None = None
    if wanted.coverage is not None:
        coverage = resolve_list(session, wanted.coverage, saes, actor)
    parameters = ScanParameters(
        references=references,
        last_document=0,
        against=wanted.against,
        fdr=wanted.fdr,
        coverage=coverage,
        conditions=[resolve_condition(session, one, saes, actor) for one in conditions],
    )
    if first.parameters:
        # As the reference was read, so is the text: the same tokens are left out.
        parameters = replace(parameters, sink_factor=read_parameters(first).sink_factor)
    return release, saes, parameters


def _references(
    session: Session, release: Release, saes: Sequence[Sae], wanted: ScanRequest
) -> dict[int, int]:
    """Return the run that each layer is held against; layers without one are left out.

    Unless they were named: then the first of them is refused.
    """
    found: dict[int, int]
    if wanted.against is None:
        found = {sae.layer: sae.current_run_id for sae in saes if sae.current_run_id is not None}
    else:
        found = _newest_runs(session, saes, find_corpus(session, wanted.against))
    missing = [sae.layer for sae in saes if sae.layer not in found]
    if missing and (wanted.layers is not None or len(missing) == len(saes)):
        layers = "" if len(missing) == len(saes) else f" --layers {','.join(map(str, missing))}"
        corpus = wanted.against or "CORPUS"
        raise NotFoundError(
            f"No collection of {release.name}{f' over {wanted.against}' if wanted.against else ''} "
            f"is done for layer {', '.join(map(str, missing))}, and a scan is held against one; "
            f"make one with `scopebook collect {release.name} {corpus}{layers}`."
        )
    return {sae.layer: found[sae.layer] for sae in saes if sae.layer in found}


def _newest_runs(session: Session, saes: Sequence[Sae], corpus: Corpus) -> dict[int, int]:
    """Return the newest run over a corpus that has merged each layer."""
    found: dict[int, int] = {}
    for sae in saes:
        first = sae.id << FEATURE_BITS
        merged = exists().where(
            Evidence.run_id == Run.id,
            Evidence.feature_id.between(first, first + sae.d_sae - 1),
        )
        newest = session.scalar(
            select(func.max(Run.id))
            .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
            .where(Run.release_id == sae.release_id, Tokenisation.corpus_id == corpus.id, merged)
        )
        if newest is not None:
            found[sae.layer] = newest
    return found
