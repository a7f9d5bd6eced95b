"""What the API answers of deletions; written by `make openapi`."""

from __future__ import annotations

from typing import TypedDict


class DeletionRead(TypedDict):
    """What would go if something was deleted, and what of it stays."""

    what: str
    job_id: int | None
    documents: int
    contexts: int
    tokens: int
    runs: list[int]
    scans: list[int]
    evidence: int
    labelings: int
    labels: int
    scores: int
    marks: int
    panels: int
    maps: int
    spoken_of: int
    people: int
    presets: int
    files: int
    file_bytes: int
    sentences: list[str]
