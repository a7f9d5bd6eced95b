"""Write a dump in Neuronpedia's layout: what its importer takes, and what it cannot hold."""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, LabelScore, Sense
from scopebook.db.tables import Release
from scopebook.interchange.neuronpedia_ground import ground_rows
from scopebook.interchange.neuronpedia_layout import BATCH, BOT, CANNOT_HOLD, TYPES, model_id
from scopebook.interchange.neuronpedia_rows import (
    activation_rows,
    batches_of_features,
    explanation_rows,
    feature_row,
)
from scopebook.interchange.new_folder import check_new, new_folder
from scopebook.interchange.numbering import DumpedSae, dumped_saes
from scopebook.interchange.parquet_out import Told, chosen_saes
from scopebook.interchange.vocabularies import Vocabularies

FORMAT: Final = "neuronpedia"


@dataclass(frozen=True, kw_only=True)
class NeuronpediaExport:
    """What was written, and what was not because the layout has no place for it."""

    path: str
    format: str
    releases: list[str]
    #: Where below the path each layer lies: `v1/{model}/{source}`.
    sources: list[str]
    rows: dict[str, int]
    bytes: int
    #: What the layout cannot hold.
    cannot_hold: list[str]
    #: How much of that there was here.
    not_written: dict[str, int]
    cautions: list[str]


def export_neuronpedia(
    session: Session,
    path: Path,
    *,
    release: str | None = None,
    layers: Sequence[int] | None = None,
    told: Told | None = None,
) -> NeuronpediaExport:
    """Write the labels in force, the shown runs' examples and statistics to a new folder."""
    check_new(path)
    saes = dumped_saes(session, [sae.id for sae in chosen_saes(session, release, layers)])
    writer = _Writer(told)
    with new_folder(path) as folder:
        _write_config(session, saes, folder / "v1/config")
        for sae in saes:
            _write_source(session, sae, folder / _place(sae), writer)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    releases = {sae.release_id: sae.release for sae in saes}
    asked = {name: session.get_one(Release, at).caution for at, name in releases.items()}
    return NeuronpediaExport(
        path=str(path),
        format=FORMAT,
        releases=list(releases.values()),
        sources=[_place(sae) for sae in saes],
        rows=writer.rows,
        bytes=size,
        cannot_hold=list(CANNOT_HOLD),
        not_written=_not_written(session, [sae.id for sae in saes]),
        cautions=[f"{name}: {caution}" for name, caution in asked.items() if caution],
    )


def _place(sae: DumpedSae) -> str:
    return f"v1/{model_id(sae.model)}/{sae.layer}-{sae.set_name}"


def _write_config(session: Session, saes: Sequence[DumpedSae], folder: Path) -> None:
    """Write the kinds of explanations and the models behind them, which rows refer to."""
    methods = session.scalars(
        select(Label.method)
        .where(Label.sae_id.in_([sae.id for sae in saes]), Label.current, Label.source == "llm")
        .distinct()
        .order_by(Label.method)
    )
    types = [
        {
            "name": name,
            "displayName": name,
            "description": f"A label of Scopebook whose source is {source}.",
            "featured": False,
            "creatorName": "Scopebook",
            "creatorId": BOT,
        }
        for source, name in TYPES.items()
    ]
    models = [
        {
            "name": method,
            "displayName": method,
            "description": "A language model that Scopebook asked for labels.",
            "featured": False,
            "creatorName": "unknown",
        }
        for method in methods
    ]
    folder.mkdir(parents=True)
    for name, rows in (("explanation_type", types), ("explanation_model_type", models)):
        (folder / f"{name}.jsonl").write_text("".join(_line(row) for row in rows), "utf-8")
    for name in ("explanation_score_type", "explanation_score_model", "eval_type"):
        (folder / f"{name}.jsonl").touch()


def _write_source(session: Session, sae: DumpedSae, folder: Path, writer: "_Writer") -> None:
    for table in ("features", "activations", "explanations"):
        (folder / table).mkdir(parents=True)
    for name, row in ground_rows(session, sae).items():
        (folder / f"{name}.jsonl").write_text(_line(row), "utf-8")
    texts = Vocabularies(session)
    for number, rows in enumerate(batches_of_features(session, sae)):
        features = (feature_row(sae, row.Feature, row.Evidence, texts) for row in rows)
        writer.write(folder / "features", number, features)
        found = [row for row in rows if row.Evidence is not None]
        writer.write(folder / "activations", number, _by_parts(session, sae, found, texts))
    labels = explanation_rows(session, sae)
    number = 0
    while batch := list(islice(labels, BATCH)):
        writer.write(folder / "explanations", number, batch)
        number += 1


def _by_parts(
    session: Session, sae: DumpedSae, rows: Sequence[Any], texts: Vocabularies
) -> Iterator[dict[str, Any]]:
    """Yield the examples of many features, of which few are in memory at once."""
    for first in range(0, len(rows), 64):
        yield from activation_rows(session, sae, rows[first : first + 64], texts)


class _Writer:
    """Writes and counts files of rows; an empty one would stop the importer, so there is none."""

    def __init__(self, told: Told | None) -> None:
        self.rows = dict.fromkeys(("features", "activations", "explanations"), 0)
        self._told = told

    def write(self, folder: Path, number: int, rows: Iterable[dict[str, Any]]) -> None:
        """Write one file of a table."""
        path = folder / f"batch-{number}.jsonl.gz"
        written = 0
        # Without a time and a name inside, so that equal content makes equal files.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            for row in rows:
                file.write(_line(row).encode())
                written += 1
        if not written:
            path.unlink()
        self.rows[folder.name] += written
        if self._told is not None:
            self._told(folder.name, self.rows[folder.name])


def _line(row: dict[str, Any]) -> str:
    # Escaped, since it takes U+2028 in a line for its end.
    return json.dumps(row, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n"


def _not_written(session: Session, sae_ids: Sequence[int]) -> dict[str, int]:
    labels = select(func.count()).select_from(Label).where(Label.sae_id.in_(sae_ids))
    scores = (
        select(func.count()).select_from(LabelScore).join(Label, Label.id == LabelScore.label_id)
    )
    senses = select(func.count(Sense.id)).join(Label, Label.sense_id == Sense.id)
    counted = {
        "labels not in force": labels.where(~Label.current),
        "scores": scores.where(Label.sae_id.in_(sae_ids)),
        "labels of senses, as labels of their features": senses.where(
            Label.sae_id.in_(sae_ids), Label.current
        ),
    }
    return {what: session.scalar(query) or 0 for what, query in counted.items()}
