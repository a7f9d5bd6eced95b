"""Where the rows of each table of a dump come from."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from sqlalchemy.orm import Session

from scopebook.interchange import (
    collected_rows,
    ground_rows,
    history_rows,
    people_rows,
    said_rows,
)
from scopebook.interchange.arrays import batches_of
from scopebook.interchange.example_batches import example_batches
from scopebook.interchange.layout import BY_NAME
from scopebook.interchange.numbering import Numbers

_ROWS: Final[dict[str, Callable[[Session, Numbers], Iterator[Any]]]] = {
    "models": ground_rows.model_rows,
    "token_pieces": ground_rows.piece_rows,
    "releases": ground_rows.release_rows,
    "saes": ground_rows.sae_rows,
    "corpora": ground_rows.corpus_rows,
    "tokenisations": ground_rows.tokenisation_rows,
    "runs": ground_rows.run_rows,
    "labelings": ground_rows.labeling_rows,
    "features": collected_rows.feature_rows,
    "documents": collected_rows.document_rows,
    "contexts": collected_rows.context_rows,
    "statistics": collected_rows.statistics_rows,
    "outcomes": said_rows.outcome_rows,
    "origins": said_rows.origin_rows,
    "senses": said_rows.sense_rows,
    "labels": said_rows.label_rows,
    "choices": said_rows.choice_rows,
    "scores": said_rows.score_rows,
    "vocabulary": people_rows.word_rows,
    "reviews": people_rows.review_rows,
    "pins": people_rows.pin_rows,
    "groupings": people_rows.grouping_rows,
    "second_opinions": people_rows.opinion_rows,
    "comments": people_rows.comment_rows,
    "comment_versions": people_rows.comment_version_rows,
    "tags": people_rows.tag_rows,
    "marks": people_rows.mark_rows,
    "bulk_actions": people_rows.bulk_rows,
    "history": history_rows.history_rows,
    "lists": people_rows.list_rows,
    "list_items": people_rows.item_rows,
}
#: Rows of one batch where single rows are large.
_SIZES: Final = {"documents": 64, "contexts": 1_024, "origins": 512, "statistics": 1_024}


def dump_batches(session: Session, numbers: Numbers, table: str) -> Iterator[Any]:
    """Yield a table's rows as Arrow batches, in the order that the dump has them."""
    if table == "examples":
        return example_batches(session, numbers)
    size = _SIZES.get(table, 4_096)
    return batches_of(BY_NAME[table], _ROWS[table](session, numbers), size=size)
