"""What would go with a corpus or a scan, counted before anybody deletes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger

from scopebook.artifacts import sizes_in
from scopebook.deletion_extent import Extent, extent_of
from scopebook.deletions import corpus_to_delete, files_of, scan_to_delete
from scopebook.sizes import size_text


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """What goes, in numbers; `what` names it."""

    what: str
    #: The job that is at it already.
    job_id: int | None
    documents: int
    contexts: int
    tokens: int
    #: By their numbers.
    runs: Sequence[int]
    scans: Sequence[int]
    #: Features that lose what a run has measured of them, counted for each run.
    evidence: int
    labelings: int
    #: Labels by keywords and language models.
    labels: int
    scores: int
    #: Marks of people on examples.
    marks: int
    panels: int
    maps: int
    #: Labels by machines that people have spoken of: their words go, what people said stays.
    spoken_of: int
    #: Wordings by people of senses that go: they stay, and are in force no more.
    people: int
    #: Versions of presets that name a machine's label: they never change, so they keep it.
    presets: int
    files: int
    file_bytes: int
    #: One sentence for a person, each.
    sentences: Sequence[str] = ()


_LABELS: Final = "SELECT id FROM label WHERE labeling_id = ANY(:labelings)"
_SPOKEN: Final = """(EXISTS (SELECT FROM review r WHERE r.label_id = l.id)
                     OR EXISTS (SELECT FROM pin p WHERE p.label_id = l.id))"""
_COUNTS: Final = {
    "documents": "SELECT count(*) FROM document WHERE corpus_id = ANY(:corpora)",
    "contexts": "SELECT count(*) FROM context WHERE tokenisation_id = ANY(:tokenisations)",
    "tokens": "SELECT coalesce(sum(n_tokens), 0) FROM context"
    " WHERE tokenisation_id = ANY(:tokenisations)",
    "evidence": "SELECT count(*) FROM evidence WHERE run_id = ANY(:runs)",
    "labels": f"SELECT count(*) FROM ({_LABELS}) l",
    "scores": f"SELECT count(*) FROM label_score WHERE label_id IN ({_LABELS})",
    "marks": "SELECT count(*) FROM example_mark WHERE run_id = ANY(:runs)",
    "panels": "SELECT count(*) FROM panel WHERE run_id = ANY(:runs)",
    "spoken_of": f"SELECT count(*) FROM label l WHERE labeling_id = ANY(:labelings) AND {_SPOKEN}",
    "people": "SELECT count(*) FROM label l JOIN sense n ON n.id = l.sense_id"
    " WHERE l.labeling_id IS NULL AND n.labeling_id = ANY(:labelings)",
    "presets": "SELECT count(*) FROM preset_version v JOIN preset p ON p.id = v.preset_id"
    " WHERE p.release_id = ANY(:releases) AND jsonb_path_exists(v.document,"
    """ '$.interventions[*] ? (@.label_source == "keywords" || @.label_source == "llm")')""",
}


def preview_corpus(session: Session, wanted: str | int) -> Deletion:
    """Return what would go with a corpus; raises NotFoundError where there is none."""
    found = corpus_to_delete(session, wanted)
    extent = extent_of(session, corpora=[found.id])
    return _count(session, extent, f"the corpus {found.name}", found.deletion_job_id)


def preview_scan(session: Session, scan_id: int) -> Deletion:
    """Return what would go with a scan; raises NotFoundError where there is none."""
    found = scan_to_delete(session, scan_id)
    extent = extent_of(session, scans=[found.id])
    what = f"scan {found.id} of {found.dataset}"
    counted = _count(session, extent, what, found.deletion_job_id)
    others = [scan for scan in extent.scans if scan != found.id]
    return replace(counted, sentences=_sentences(counted, others))


def _count(session: Session, extent: Extent, what: str, job_id: int | None) -> Deletion:
    counts: dict[str, Any] = {
        name: _number(session, extent, statement) for name, statement in _COUNTS.items()
    }
    sizes = _sizes(session, extent)
    found = Deletion(
        what=what,
        job_id=job_id,
        runs=extent.runs,
        scans=extent.scans,
        labelings=len(extent.labelings),
        maps=len(extent.maps),
        files=len(sizes),
        file_bytes=sum(sizes),
        **counts,
    )
    return replace(found, sentences=_sentences(found, extent.scans))


def _number(session: Session, extent: Extent, statement: str) -> int:
    names = [
        name
        for name in ("corpora", "tokenisations", "runs", "labelings", "releases")
        if f":{name})" in statement
    ]
    asked = text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(BigInteger)) for name in names)
    )
    return int(
        session.execute(asked, {name: list(getattr(extent, name)) for name in names}).scalar_one()
    )


def _sizes(session: Session, extent: Extent) -> list[int]:
    files: Any = files_of(session, extent)
    sizes = [size for folder in files["folders"] for size in sizes_in(folder).values()]
    named = set(files["names"])
    for folder in ("panels", "maps"):
        sizes += [
            size
            for name, size in sizes_in(folder).items()
            if name in named or name.startswith(tuple(files["panels"]) or "\0")
        ]
    return sizes


def _sentences(found: Deletion, scans: Sequence[int]) -> list[str]:
    """Say what goes, with these scans, and what stays, leaving out what there is none of."""
    goes = [
        _counted(found.documents, "document"),
        _counted(found.tokens, "token"),
        _counted(len(found.runs), "collection"),
        _counted(found.evidence, "feature's examples", "features' examples"),
        _counted(found.labels, "label by a machine", "labels by machines"),
        _counted(found.scores, "score"),
        _counted(found.marks, "mark on an example", "marks on examples"),
        _counted(found.maps, "map"),
        _counted(len(scans), "scan"),
        found.files and f"{_counted(found.files, 'file')} ({size_text(found.file_bytes)})",
    ]
    sentences = [f"With {found.what} go {', '.join(one for one in goes if one) or 'no rows'}."]
    if scans:
        named = ", ".join(map(str, scans[:20]))
        sentences.append(f"Scans that go, since they read it or quote labels that go: {named}.")
    if found.spoken_of:
        sentences.append(
            f"Of {found.spoken_of:,} of these labels people's verdicts stay, without the words."
        )
    if found.people:
        sentences.append(
            f"{_counted(found.people, 'wording')} by people of senses that go will be in force no "
            "more; the words stay."
        )
    if found.presets:
        sentences.append(
            f"{_counted(found.presets, 'version of a preset', 'versions of presets')} may name "
            "labels that go: a version never changes and keeps them."
        )
    return sentences


def _counted(count: int, one: str, many: str | None = None) -> str:
    if not count:
        return ""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
