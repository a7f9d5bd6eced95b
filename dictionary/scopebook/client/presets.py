"""Presets: save and compare their versions, export them, measure them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from scopebook.client.transport import Transport
from scopebook.client.types.job import JobRead
from scopebook.client.types.preset import (
    DraftShape,
    ExportRead,
    PresetDiffRead,
    PresetRead,
    ReportRead,
    TargetRead,
    VersionRead,
    VersionSummary,
)

Audience = Literal["owner", "viewer", "annotator", "editor", "admin"]
Status = Literal["draft", "approved"]


class Presets(Transport):
    """What those who may see a preset may read and export, and annotators may save.

    A change names the `revision` of the preset as it was read; `ChangedSinceError` says that
    somebody else has changed it since.
    """

    def presets(
        self, *, release: str | None = None, archived: bool = False, limit: int | None = None
    ) -> Iterator[PresetRead]:
        """List presets, newest first."""
        return self._items("/presets", {"release": release, "archived": archived}, limit)

    def preset(self, preset_id: int) -> PresetRead:
        """Return one preset without what its versions say."""
        return cast(PresetRead, self._get(f"/presets/{preset_id}"))

    def create_preset(
        self,
        name: str,
        draft: DraftShape,
        *,
        description: str = "",
        visible_to: Audience = "viewer",
        note: str = "",
        release: str | None = None,
    ) -> PresetRead:
        """Make a preset with its first version."""
        body = {
            "name": name,
            "draft": draft,
            "description": description,
            "visible_to": visible_to,
            "note": note,
            "release": release,
        }
        return cast(PresetRead, self._send("POST", "/presets", body))

    def import_preset(
        self,
        document: Mapping[str, Any],
        *,
        name: str | None = None,
        visible_to: Audience = "viewer",
    ) -> PresetRead:
        """Make a preset of a `preset.json`."""
        body = {"document": dict(document), "name": name, "visible_to": visible_to}
        return cast(PresetRead, self._send("POST", "/presets/import", body))

    def change_preset(
        self,
        preset_id: int,
        revision: int,
        *,
        name: str | None = None,
        description: str | None = None,
        visible_to: Audience | None = None,
        archived: bool | None = None,
    ) -> PresetRead:
        """Change what a preset says of itself; what is not given stays."""
        given = {
            "name": name,
            "description": description,
            "visible_to": visible_to,
            "archived": archived,
        }
        body = {key: value for key, value in given.items() if value is not None}
        answer = self._send("PATCH", f"/presets/{preset_id}", body, version=revision)
        return cast(PresetRead, answer)

    def preset_versions(self, preset_id: int) -> list[VersionSummary]:
        """List all versions of a preset, newest first."""
        return cast("list[VersionSummary]", self._get(f"/presets/{preset_id}/versions")["items"])

    def preset_version(self, preset_id: int, number: int) -> VersionRead:
        """Return a version with all that it says."""
        return cast(VersionRead, self._get(f"/presets/{preset_id}/versions/{number}"))

    def save_preset_version(
        self, preset_id: int, revision: int, draft: DraftShape, *, note: str = ""
    ) -> PresetRead:
        """Add a version; those before stay what they are."""
        body = {"draft": draft, "note": note}
        path = f"/presets/{preset_id}/versions"
        return cast(PresetRead, self._send("POST", path, body, version=revision))

    def decide_preset(
        self, preset_id: int, revision: int, number: int, status: Status, *, note: str = ""
    ) -> PresetRead:
        """Approve a version, or take that back."""
        body = {"status": status, "note": note}
        path = f"/presets/{preset_id}/versions/{number}/status"
        return cast(PresetRead, self._send("POST", path, body, version=revision))

    def fork_preset(self, preset_id: int, number: int, name: str) -> PresetRead:
        """Make a preset of one's own from a version."""
        path = f"/presets/{preset_id}/versions/{number}/fork"
        return cast(PresetRead, self._send("POST", path, {"name": name}))

    def preset_diff(self, preset_id: int, before: int, after: int) -> PresetDiffRead:
        """Return what two versions say differently."""
        params = {"before": before, "after": after}
        return cast(PresetDiffRead, self._get(f"/presets/{preset_id}/diff", params))

    def preset_targets(self, preset_id: int, number: int) -> list[TargetRead]:
        """List the tools that presets are exported for, and what each would refuse and lose."""
        path = f"/presets/{preset_id}/versions/{number}/targets"
        return cast("list[TargetRead]", self._get(path)["items"])

    def export_preset(self, preset_id: int, number: int, targets: Sequence[str]) -> JobRead:
        """Write a version's files for some tools, as a job."""
        path = f"/presets/{preset_id}/versions/{number}/exports"
        return cast(JobRead, self._send("POST", path, {"targets": list(targets)}))

    def preset_exports(self, preset_id: int) -> list[ExportRead]:
        """List what was exported of a preset, newest first."""
        return cast("list[ExportRead]", self._get(f"/presets/{preset_id}/exports")["items"])

    def preset_file(self, preset_id: int, export_id: int) -> bytes:
        """Return an export as the content of a zip file."""
        return self._read(f"/presets/{preset_id}/exports/{export_id}/file").content

    def test_preset(self, preset_id: int, number: int) -> JobRead:
        """Run the tests of a version, as a job."""
        path = f"/presets/{preset_id}/versions/{number}/tests"
        return cast(JobRead, self._send("POST", path))

    def prune_preset(
        self, preset_id: int, number: int, test: str, *, group: str | None = None
    ) -> JobRead:
        """Look for the smallest part of a group that still passes a test, as a job."""
        path = f"/presets/{preset_id}/versions/{number}/prune"
        return cast(JobRead, self._send("POST", path, {"test": test, "group": group}))

    def preset_reports(self, preset_id: int) -> list[ReportRead]:
        """List what was measured of a preset's versions, newest first."""
        return cast("list[ReportRead]", self._get(f"/presets/{preset_id}/reports")["items"])
