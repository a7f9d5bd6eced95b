"""Bring in what people and models said, of layers that come in whole with its own origin."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.corpora import reserve_ids
from scopebook.db.label_tables import (
    Label,
    LabelChoice,
    LabelOrigin,
    LabelOutcome,
    LabelScore,
    Sense,
)
from scopebook.db.tables import FEATURE_BITS
from scopebook.interchange.authors_in import Authors
from scopebook.interchange.beside_in import LabelsBeside
from scopebook.interchange.collected_in import CONTEXT
from scopebook.interchange.import_progress import DumpRow, keep_rows, kept_rows
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.row_checks import RefusedRowError, read_hash, read_json, required
from scopebook.interchange.said_rows import RUN, WORDED_AS

#: Labels by their number, and those that are to be in force.
LABEL, IN_FORCE = "label", "label in force"


def bring_said(importing: Importing) -> None:
    """Add outcomes, origins, senses, labels, choices and scores."""
    for table, target, columns, values_of in (
        ("outcomes", LabelOutcome, _OUTCOME_COLUMNS, _outcome),
        ("senses", Sense, _SENSE_COLUMNS, _sense),
    ):

        def write(
            session: Session,
            rows: list[DumpRow],
            table: Any = table,
            target: Any = target,
            columns: Any = columns,
            values_of: Any = values_of,
        ) -> None:
            ready = importing.ready(table, rows, lambda row: values_of(importing, row))
            importing.write(session, table, target, columns, ready)

        importing.read(table, write)
    importing.read("origins", lambda session, rows: _write_origins(session, importing, rows))
    importing.read("labels", lambda session, rows: _write_labels(session, importing, rows))
    importing.read("choices", lambda session, rows: _write_choices(session, importing, rows))
    importing.read("scores", lambda session, rows: _write_scores(session, importing, rows))


def _of_labeling(importing: Importing, row: DumpRow) -> tuple[int, int] | None:
    """Return the ids of a row's labeling and feature; None where its layer was here before."""
    if importing.sae_of(row).mode == BESIDE:
        return None
    labeling_id = importing.labelings.get(row.values["labeling"])
    if labeling_id is None:
        raise RefusedRowError(f"its labeling {row.values['labeling']} did not come in")
    return labeling_id, importing.feature_of(row)


_OUTCOME_COLUMNS: Final = (
    *("labeling_id", "feature_id", "example_set"),
    *("status", "reason", "kind", "unassigned", "held_out", "created_at"),
)


def _outcome(importing: Importing, row: DumpRow) -> Sequence[Any] | None:
    key = _of_labeling(importing, row)
    if key is None:
        return None
    return (
        *key,
        read_hash(row, "example_set"),
        *(row.values[name] for name in _OUTCOME_COLUMNS[3:]),
    )


_SENSE_COLUMNS: Final = (
    *("labeling_id", "feature_id", "ordinal", "share", "keywords", "members", "medoid"),
    *("representatives", "held_out", "silhouette"),
)


def _sense(importing: Importing, row: DumpRow) -> Sequence[Any] | None:
    key = _of_labeling(importing, row)
    return key and (*key, *(row.values[name] for name in _SENSE_COLUMNS[2:]))


_ORIGIN_COLUMNS: Final = (
    *("labeling_id", "feature_id", "contrasts", "prompt_sha256"),
    *("shown", "model_reported", "system_fingerprint", "finish_reason", "attempts", "latency_ms"),
    *("tokens_in", "tokens_cached", "tokens_out", "error_class", "raw_response"),
)


def _write_origins(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    numbers = {pair["context"] for row in rows for pair in row.values["contrasts"] or []}
    known = kept_rows(session, importing.import_id, CONTEXT, numbers)

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        key = _of_labeling(importing, row)
        if key is None:
            return None
        required(row, "contrasts")
        pairs = [(known.get(pair["context"]), pair["token"]) for pair in row.values["contrasts"]]
        if any(context is None for context, _ in pairs):
            raise RefusedRowError("a text that was shown did not come in")
        return (
            *(*key, [list(pair) for pair in pairs], read_hash(row, "prompt_sha256")),
            *(row.values[name] for name in _ORIGIN_COLUMNS[4:]),
        )

    ready = importing.ready("origins", rows, values_of)
    importing.write(session, "origins", LabelOrigin, _ORIGIN_COLUMNS, ready)


#: What a label is, whatever it becomes here.
SAID: Final = (
    *("text", "description", "kind", "confidence", "status", "method", "author", "n_examples"),
    *("share", "created_at"),
)
_LABEL_COLUMNS: Final = (
    *("id", "feature_id", "sae_id", "labeling_id", "sense_id", "also", "source", "provenance"),
    *("supersedes_id", "current", "account_id", *SAID),
)


def _write_labels(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    beside = LabelsBeside(session, importing, rows)
    senses = _senses(session, importing, rows)
    numbers = [row.values["supersedes"] for row in rows if row.values["supersedes"] is not None]
    known = kept_rows(session, importing.import_id, LABEL, numbers)
    ids, authors = iter(reserve_ids(session, LABEL, len(rows))), Authors(session)

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        row_id = next(ids)
        head = beside.head(row)
        if head is None:
            head = _head(importing, row, senses, known, authors)
        elif not head:
            return None
        known[row.values["label"]] = row_id
        return (row_id, *head, *(row.values[name] for name in SAID))

    ready = importing.ready("labels", rows, values_of)
    counts = importing.progress.of("labels")
    counts.left_out -= beside.known
    counts.known += beside.known
    written = importing.write(session, "labels", Label, _LABEL_COLUMNS, ready)
    keep = [(row.values["label"], values[0]) for row, values in written]
    keep_rows(session, importing.import_id, LABEL, keep)
    in_force = [
        (row.values["label"], values[0])
        for row, values in written
        if row.values["current"] and importing.sae_of(row).mode != BESIDE
    ]
    keep_rows(session, importing.import_id, IN_FORCE, in_force)


_SenseKey = tuple[int, int, int]


def _head(
    importing: Importing,
    row: DumpRow,
    senses: Mapping[_SenseKey, int],
    known: Mapping[int, int],
    authors: Authors,
) -> Sequence[Any]:
    """Return the columns before those of `SAID`, of a label that keeps its own origin."""
    values = row.values
    sae, feature_id = importing.sae_of(row), importing.feature_of(row)
    labeling_id = importing.labelings.get(values["labeling"] or 0)
    if values["labeling"] is not None and labeling_id is None:
        raise RefusedRowError(f"its labeling {values['labeling']} did not come in")
    sense_id = None
    if values["sense"] is not None:
        of = importing.labelings.get(values["sense_labeling"] or 0, 0)
        sense_id = senses.get((of, feature_id, values["sense"]))
        if sense_id is None:
            raise RefusedRowError(f"its sense {values['sense']} did not come in")
    if values["supersedes"] is not None and values["supersedes"] not in known:
        raise RefusedRowError(f"label {values['supersedes']}, which it follows, did not come in")
    if values["current"] and values["status"] != "ok":
        raise RefusedRowError("it is in force although it is suspect")
    provenance = read_json(row, "provenance")
    follows = known.get(values["supersedes"])
    numbered = importing.dump.manifest.version > 1 and follows is not None
    if numbered and provenance.get(WORDED_AS) == values["supersedes"]:
        provenance[WORDED_AS] = follows
    return (
        *(feature_id, sae.id, labeling_id, sense_id, values["also"], values["source"]),
        provenance,
        follows,
        False,  # in force once all is in
        None if values["account"] is None else authors.of(row),
    )


def _senses(
    session: Session, importing: Importing, rows: Iterable[DumpRow]
) -> dict[_SenseKey, int]:
    wanted = [row for row in rows if row.values["sense"] is not None]
    labelings = {importing.labelings.get(row.values["sense_labeling"] or 0, 0) for row in wanted}
    features = [
        (sae.id << FEATURE_BITS) | (row.values["index"] or 0)
        for row in wanted
        if (sae := importing.saes.get((row.values["release"], row.values["layer"])))
    ]
    found = session.execute(
        select(Sense.labeling_id, Sense.feature_id, Sense.ordinal, Sense.id).where(
            Sense.labeling_id.in_(labelings),
            Sense.feature_id == any_(literal(features, ARRAY(BigInteger))),
        )
    )
    return {(row[0], row[1], row[2]): row[3] for row in found}


def _labels_named(session: Session, importing: Importing, rows: list[DumpRow]) -> dict[int, int]:
    numbers = {row.values["label"] for row in rows if row.values["label"] is not None}
    return kept_rows(session, importing.import_id, LABEL, numbers)


def _write_choices(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    known = _labels_named(session, importing, rows)
    beside = _beside_labels(session, importing, known.values())

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        label_id = known.get(row.values["label"])
        if label_id is None and _has_beside(importing):
            return None
        if label_id is None:
            raise RefusedRowError(f"label {row.values['label']} did not come in")
        if label_id in beside:
            return None
        return (label_id, *(row.values[name] for name in _CHOICE_COLUMNS[1:]))

    ready = importing.ready("choices", rows, values_of)
    importing.write(session, "choices", LabelChoice, _CHOICE_COLUMNS, ready)


_CHOICE_COLUMNS: Final = ("label_id", "chosen_by", "reason", "created_at")


def _has_beside(importing: Importing) -> bool:
    return any(sae.mode == BESIDE for sae in importing.saes.values())


def _beside_labels(session: Session, importing: Importing, label_ids: Iterable[int]) -> set[int]:
    saes = [sae.id for sae in importing.saes.values() if sae.mode == BESIDE]
    found = session.scalars(
        select(Label.id).where(
            Label.id == any_(literal(list(label_ids), ARRAY(BigInteger))), Label.sae_id.in_(saes)
        )
    )
    return set(found)


_SCORE_COLUMNS: Final = (
    *("label_id", "held_out_sha256", "details"),
    *("scorer", "scorer_version", "judge", "n_pos", "n_neg_random", "n_neg_hard", "n_failed"),
    *("tp", "fp", "tn", "fn", "value", "ci_low", "ci_high", "null_value", "f1"),
    *("tokens_in", "tokens_out", "created_at"),
)


def _write_scores(session: Session, importing: Importing, rows: list[DumpRow]) -> None:
    known = _labels_named(session, importing, rows)

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        label_id = known.get(row.values["label"])
        if label_id is None and _has_beside(importing):
            return None
        if label_id is None:
            raise RefusedRowError(f"label {row.values['label']} did not come in")
        details = read_json(row, "details")
        run_id = importing.runs.get(row.values["run"] or 0)
        if run_id is not None:
            details[RUN] = run_id
        return (
            *(label_id, read_hash(row, "held_out_sha256"), details),
            *(row.values[name] for name in _SCORE_COLUMNS[3:]),
        )

    ready = importing.ready("scores", rows, values_of)
    importing.write(session, "scores", LabelScore, _SCORE_COLUMNS, ready)
