"""Write a preset version's files for other tools, and what proves that they steer alike."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifacts import write_artifact
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.sessions import sessions
from scopebook.jobs import EXPORT_PRESET
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.exporters.bundle import write_bundle, zip_bundle
from scopebook_workers.exporters.probe import make_probe
from scopebook_workers.inference.prompts import read_prompts
from scopebook_workers.tasks.preset_versions import LoadedVersion, load_version

#: Texts of a probe, and tokens of each.
_PROBES: Final = 3
_PROBE_TOKENS: Final = 24
#: What is probed with where nothing was collected and no test has a prompt.
_PLAIN: Final = "The house stands beside the river, and behind it the road goes up the hill."


@step_task(EXPORT_PRESET)
def export_preset(claim: Claim, progress: Progress) -> Finish:
    """Write one zip file for each target; they share a probe, which is measured once a version."""
    targets: Sequence[str] = claim.parameters["targets"]
    loaded = load_version(claim.job_id)
    probe, is_new = _probe(loaded)
    made: dict[str, tuple[str, str, int]] = {}
    for done, target in enumerate(targets):
        progress(done, len(targets), "files")
        made[target] = _write(loaded, target, probe, claim)

    def write(session: Session) -> None:
        if is_new:
            session.add(
                PresetReport(
                    version_id=loaded.version_id, kind="probe", job_id=claim.job_id, found=probe
                )
            )
        rows = session.scalars(select(PresetExport).where(PresetExport.job_id == claim.job_id))
        for row in rows:
            row.artifact, row.sha256, row.size_bytes = made[row.target]

    return write


def _probe(loaded: LoadedVersion) -> tuple[Mapping[str, Any], bool]:
    """Return the version's probe, and whether it was measured only now.

    It is kept, so that a version's files are the same bytes whenever they are written: another
    number of threads moves the last digits.
    """
    with sessions()() as session:
        known = session.scalar(
            select(PresetReport.found)
            .where(PresetReport.version_id == loaded.version_id, PresetReport.kind == "probe")
            .order_by(PresetReport.id)
            .limit(1)
        )
    if known is not None:
        return _in_order(known), False
    return _in_order(make_probe(loaded.resident.model, loaded.preset, _texts(loaded))), True


def _in_order(probe: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a probe with its keys in order, which the database does not keep."""
    ordered: Mapping[str, Any] = json.loads(json.dumps(probe, sort_keys=True))
    return ordered


def _texts(loaded: LoadedVersion) -> list[list[int]]:
    """Return token ids of prompts of the tests, else of texts of the corpus."""
    prompts = [prompt for test in loaded.document["tests"] for prompt in test["prompts"]]
    given = [{"text": text} for text in dict.fromkeys(prompts)][:_PROBES]
    names = ["A prompt of a test"] * len(given)
    read = read_prompts(loaded.resident, given, names=names, most_tokens=_MOST_TOKENS)
    texts = [one.token_ids for one in read] + list(loaded.neutral)
    found = [text[:_PROBE_TOKENS].tolist() for text in texts if len(text) > 1][:_PROBES]
    if found:
        return found
    plain = read_prompts(loaded.resident, [{"text": _PLAIN}], names=["The text"], most_tokens=512)
    return [plain[0].token_ids[:_PROBE_TOKENS].tolist()]


#: Of a prompt, of which the probe takes the beginning.
_MOST_TOKENS: Final = 100_000


def _write(
    loaded: LoadedVersion, target: str, probe: Mapping[str, Any], claim: Claim
) -> tuple[str, str, int]:
    """Write one target's zip file; return artifact, hash and size."""
    document = loaded.document
    with TemporaryDirectory(prefix="scopebook-export-") as scratch:
        folder = Path(scratch) / f"{_file_name(document['name'])}-v{document['version']}-{target}"
        write_bundle(loaded.preset, target, folder, probe)
        packed = Path(scratch) / "bundle.zip"
        zip_bundle(folder, packed)

        def copy(file: BinaryIO) -> None:
            with packed.open("rb") as source:
                shutil.copyfileobj(source, file)

        name = f"presets/version{loaded.version_id}-{target}-{claim.fence}.zip"
        with packed.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        return write_artifact(name, copy), digest, packed.stat().st_size


def _file_name(name: str) -> str:
    """Return a preset's name as a folder's: llama.cpp takes neither `:` nor `,` in a path."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in name)
    return kept.strip("-")[:60] or "preset"
