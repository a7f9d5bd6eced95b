"""Write a preset version's files for other tools, and what proves that they steer alike."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact, remedy_of, write_artifact
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.errors import UnavailableError
from scopebook.jobs import EXPORT_PRESET
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.exporters.bundle import MANIFEST, write_bundle, zip_bundle
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
    probe = _probe(loaded, claim, progress)
    made: dict[str, tuple[str, str, int]] = {}
    for done, target in enumerate(targets):
        progress(done, len(targets), "files")
        made[target] = _write(loaded, target, probe)

    def write(session: Session) -> None:
        rows = session.scalars(select(PresetExport).where(PresetExport.job_id == claim.job_id))
        for row in rows:
            row.artifact, row.sha256, row.size_bytes = made[row.target]

    return write


def _probe(loaded: LoadedVersion, claim: Claim, progress: Progress) -> Mapping[str, Any]:
    """Return the version's probe, measured unless it was before.

    It is kept before anything is written, so that a version's files are the same bytes whenever
    and wherever they are written: another number of threads moves the last digits.
    """
    known = _known_probe(loaded)
    if known is None:
        found = make_probe(loaded.resident.model, loaded.preset, _texts(loaded))
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            row = {"version_id": loaded.version_id, "kind": "probe", "job_id": claim.job_id}
            session.execute(insert(PresetReport).on_conflict_do_nothing(), [row | {"found": found}])
        known = _known_probe(loaded)
    # In order, which the database does not keep.
    ordered: Mapping[str, Any] = json.loads(json.dumps(known, sort_keys=True))
    return ordered


def _known_probe(loaded: LoadedVersion) -> Any:
    with sessions()() as session:
        return session.scalar(
            select(PresetReport.found).where(
                PresetReport.version_id == loaded.version_id, PresetReport.kind == "probe"
            )
        )


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


def _write(loaded: LoadedVersion, target: str, probe: Mapping[str, Any]) -> tuple[str, str, int]:
    """Write one target's zip file; return artifact, hash and size.

    Its name tells what is in it: written again, it takes no more room.
    """
    try:
        with TemporaryDirectory(prefix="scopebook-export-") as scratch:
            folder = Path(scratch) / folder_name(loaded.document, target)
            write_bundle(loaded.preset, target, folder, probe)
            content = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
            name = f"presets/version{loaded.version_id}-{target}-{content[:16]}.zip"
            write_artifact(name, lambda file: zip_bundle(folder, file))
    except OSError as error:
        raise UnavailableError(
            f"The export for {target} could not be written to {gettempdir()} "
            f"({error.strerror or error}); {remedy_of(error)}, then retry the job."
        ) from error
    digest, size = hashlib.sha256(), 0
    with open_artifact(name) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return name, digest.hexdigest(), size


def folder_name(document: Mapping[str, Any], target: str) -> str:
    """Return what the folder of an export is called: llama.cpp takes no `:` or `,` in a path.

    Of names that cannot be kept as they are, a part of the preset's key tells them apart.
    """
    name: str = document["name"]
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in name)
    kept = kept.strip("-")[:60]
    if kept != name:
        kept = f"{kept or 'preset'}-{document['id'][:8]}"
    return f"{kept}-v{document['version']}-{target}"
