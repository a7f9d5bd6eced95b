"""Scans over the tiny release: asked for, and done in this process."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.tiny_collections import RELEASE

from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.jobs import PLAN_SCAN, REPORT_SCAN, SCAN_SHARD, TOKENISE_CORPUS
from scopebook.scan_datasets import Dataset, add_records
from scopebook.scans import ScanRequest, registered_dataset, request_scan
from scopebook_workers.claims import work_off

#: Small enough that a few short texts make several blocks and batches.
SMALL = {"block_tokens": 40, "batch_tokens": 48}


def ask_for_scan(
    sessions: Sessions,
    records: Sequence[Mapping[str, Any]] | str,
    *,
    fields: Sequence[str] = (),
    **wanted: Any,
) -> int:
    """Ask for a scan of records, or of a corpus by its name; return its id."""
    with unit_of_work(sessions) as session:
        dataset: Dataset = (
            registered_dataset(session, records)
            if isinstance(records, str)
            else add_records(session, "records", records, fields=fields)
        )
        scan = request_scan(session, dataset, ScanRequest(release=RELEASE, **wanted))
        scan.parameters = scan.parameters | SMALL
        return scan.id


def do_scan_steps() -> None:
    """Do every step of a scan in this process."""
    for kind in (TOKENISE_CORPUS, PLAN_SCAN, SCAN_SHARD, REPORT_SCAN):
        work_off(kind)


def scan_of(sessions: Sessions, scan_id: int) -> Scan:
    """Return a scan that is done."""
    with sessions() as session:
        scan = session.get_one(Scan, scan_id)
    assert scan.summary is not None
    return scan
