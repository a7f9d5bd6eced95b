"""Scans: ask for one, read what it found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from scopebook.client.transport import Transport
from scopebook.client.types.scan import (
    ScanAskedRead,
    ScanDocumentRead,
    ScanFeatureRead,
    ScanHitRead,
    ScanRead,
)

ScanSort = Literal["over", "under", "share", "tokens", "max", "log2"]


class Scans(Transport):
    """What viewers may read and editors may ask for."""

    def scans(self, *, release: str | None = None, limit: int | None = None) -> Iterator[ScanRead]:
        """List scans, newest first, without what they found."""
        return self._items("/scans", {"release": release}, limit)

    def scan(self, scan_id: int) -> ScanRead:
        """Return one scan; its summary is there once its job is done."""
        return cast(ScanRead, self._get(f"/scans/{scan_id}"))

    def ask_scan(
        self,
        release: str,
        *,
        corpus: str | None = None,
        texts: Sequence[str] | None = None,
        records: Sequence[Mapping[str, Any]] | None = None,
        fields: Sequence[str] = (),
        name: str = "texts of a request",
        layers: Sequence[int] | None = None,
        against: str | None = None,
        coverage: str | None = None,
        fail_if: Sequence[str] = (),
        fdr: float = 0.05,
    ) -> ScanAskedRead:
        """Hold a corpus, texts or records against a collection, as a job."""
        body = {
            "release": release,
            "corpus": corpus,
            "texts": None if texts is None else list(texts),
            "records": None if records is None else [dict(one) for one in records],
            "fields": list(fields),
            "name": name,
            "layers": None if layers is None else list(layers),
            "against": against,
            "coverage": coverage,
            "fail_if": list(fail_if),
            "fdr": fdr,
        }
        return cast(ScanAskedRead, self._send("POST", "/scans", body))

    def scan_features(
        self,
        scan_id: int,
        *,
        part: str | None = None,
        sort: ScanSort = "over",
        fdr: float | None = None,
        flagged: bool = False,
        limit: int | None = None,
    ) -> Iterator[ScanFeatureRead]:
        """List all features of a scan with their ratios."""
        params = {"part": part, "sort": sort, "fdr": fdr, "flagged": flagged}
        return self._items(f"/scans/{scan_id}/features", params, limit)

    def scan_hits(
        self,
        scan_id: int,
        *,
        feature: str | None = None,
        document: int | None = None,
        limit: int | None = None,
    ) -> Iterator[ScanHitRead]:
        """List where a feature fires, or what fires in a document, the strongest first."""
        params = {"feature": feature, "document": document}
        return self._items(f"/scans/{scan_id}/hits", params, limit)

    def scan_document(
        self, scan_id: int, document_id: int, *, start: int = 0, length: int = 4000
    ) -> ScanDocumentRead:
        """Return a document of a scan with at most `length` characters of its text."""
        params = {"start": start, "length": length}
        found = self._get(f"/scans/{scan_id}/documents/{document_id}", params)
        return cast(ScanDocumentRead, found)

    def export_scan(
        self, scan_id: int, *, form: Literal["parquet", "csv", "html"] = "html"
    ) -> bytes:
        """Return a scan as the content of a file."""
        return self._read(f"/scans/{scan_id}/export", {"form": form}).content
