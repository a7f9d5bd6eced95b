"""The end of an import: one transaction shows what came in, and settles what is in force."""

from typing import Final

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Labeling
from scopebook.db.tables import Document, Run, Sae
from scopebook.entries import refresh_saes
from scopebook.interchange.history_in import count_versions
from scopebook.interchange.import_progress import end_import
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.said_in import IN_FORCE
from scopebook.labelings import settle_labels
from scopebook.queue_order import order_queue


def publish(importing: Importing) -> None:
    """Show the runs, end the labelings, put the labels in force, and forget the way here."""
    with importing.progress.batch() as session:
        _show_runs(session, importing)
        _end_labelings(session, importing)
        session.execute(text(_PUT_IN_FORCE), {"import_id": importing.import_id, "kind": IN_FORCE})
        beside = [sae.id for sae in importing.saes.values() if sae.mode == BESIDE]
        if beside:
            settle_labels(session, beside)
        # What came in as it was is settled as it was; lists, searches and the queue have to learn
        # of it.
        whole = [sae.id for sae in importing.saes.values() if sae.mode != BESIDE]
        count_versions(session, whole)
        order_queue(session, whole)
        refresh_saes(session, whole)
        end_import(session, importing.import_id)


def _show_runs(session: Session, importing: Importing) -> None:
    for row in importing.dump.all_rows("runs"):
        run_id = importing.runs.get(row.values["run"])
        corpus_id = importing.corpora.get(row.values["corpus"])
        if run_id is None or corpus_id is None:
            continue
        last = select(Document.id).where(
            Document.corpus_id == corpus_id, Document.ordinal == row.values["last_document"]
        )
        session.execute(
            update(Run).where(Run.id == run_id).values(last_document_id=last.scalar_subquery())
        )
    for row in importing.dump.all_rows("saes"):
        sae = importing.saes[row.values["release"], row.values["layer"]]
        run_id = importing.runs.get(row.values["shown_run"] or 0)
        if sae.mode != BESIDE and run_id is not None:
            session.execute(update(Sae).where(Sae.id == sae.id).values(current_run_id=run_id))


def _end_labelings(session: Session, importing: Importing) -> None:
    for row in importing.dump.all_rows("labelings"):
        labeling_id = importing.labelings.get(row.values["labeling"])
        if labeling_id is not None:
            session.execute(
                update(Labeling)
                .where(Labeling.id == labeling_id)
                .values(finished_at=row.values["finished_at"])
            )


#: One wording for a feature and for each of its senses, should a dump name more.
_PUT_IN_FORCE: Final = """
UPDATE label SET current = true WHERE id IN (
    SELECT DISTINCT ON (b.feature_id, b.sense_id) b.id
    FROM imported_row r JOIN label b ON b.id = r.row_id
    WHERE r.import_id = :import_id AND r.kind = :kind AND NOT EXISTS (
        SELECT FROM label other
        WHERE other.feature_id = b.feature_id AND other.current
          AND other.sense_id IS NOT DISTINCT FROM b.sense_id)
    ORDER BY b.feature_id, b.sense_id, b.id
)
"""
