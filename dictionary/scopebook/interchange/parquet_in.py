"""Read a Parquet dump into the dictionary, in batches that each stand alone.

A batch's rows and the note of how far they go are one transaction, so that a killed import goes on
where it was; nothing of it is shown before its last transaction.
"""

from pathlib import Path

from sqlalchemy.orm import Session

from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError
from scopebook.interchange.collected_in import (
    bring_contexts,
    bring_documents,
    bring_features,
)
from scopebook.interchange.content_hash import content_hash
from scopebook.interchange.dump_files import Dump, open_dump
from scopebook.interchange.evidence_in import bring_evidence
from scopebook.interchange.ground_in import bring_ground
from scopebook.interchange.import_progress import Told, begin_import
from scopebook.interchange.import_report import ImportReport
from scopebook.interchange.importing import BESIDE, NEW, Importing
from scopebook.interchange.layout import FORMAT
from scopebook.interchange.parquet_out import steady
from scopebook.interchange.people_in import bring_people
from scopebook.interchange.people_layout import PEOPLE
from scopebook.interchange.publish_in import publish
from scopebook.interchange.said_in import bring_said
from scopebook.release_names import shown


def import_parquet(
    factory: Sessions,
    path: Path,
    *,
    release: str | None = None,
    verify: bool = True,
    told: Told | None = None,
) -> ImportReport:
    """Read a dump; with `verify`, hold what came in against the dump by its hash.

    Raises:
        InvalidInputError: It is no whole dump, or does not hold the release.
        ConflictError: It is of other SAEs, or another model, than those of these names here.
    """
    dump = open_dump(path.expanduser())
    _check_release(dump, release)
    progress = begin_import(
        factory, sha256=dump.sha256, kind=FORMAT, source=path.absolute(), told=told
    )
    for name in dump.unknown:
        progress.note(f"{name} is not known to this Scopebook and was left out; upgrade it.")
    if dump.manifest.version == 1 and any(dump.manifest.rows_of(table.name) for table in PEOPLE):
        progress.note(
            "Reviews, comments and tags are for readers in a dump of version 1 and stay there; "
            "export the dictionary anew to carry them over."
        )
    importing = Importing(dump=dump, progress=progress)
    bring_ground(importing)
    bring_features(importing)
    bring_documents(importing)
    bring_contexts(importing)
    bring_evidence(importing)
    bring_said(importing)
    bring_people(importing)
    publish(importing)
    differing = _differing(factory, importing) if verify else None
    return _report(path, importing, differing)


def _check_release(dump: Dump, release: str | None) -> None:
    names = [one.name for one in dump.manifest.releases]
    if release is not None and names != [release]:
        raise InvalidInputError(
            f"{dump.folder} holds {', '.join(names)}, and not {shown(release)} alone; leave "
            "--release out, or export that release alone."
        )


def _differing(factory: Sessions, importing: Importing) -> list[str] | None:
    """Return the tables that are not as in the dump; None where they joined what was here."""
    if any(sae.mode != NEW for sae in importing.saes.values()):
        return None
    with unit_of_work(factory) as session:
        steady(session)
        return _compare(session, importing)


def _compare(session: Session, importing: Importing) -> list[str]:
    saes = [session.get_one(Sae, sae.id) for sae in importing.saes.values()]
    manifest, joined = importing.dump.manifest, importing.progress.joined
    found = content_hash(session, saes, version=manifest.version).tables
    return [
        table
        for table, digest in found.items()
        if manifest.tables.get(table) != digest and table not in joined
    ]


def _report(path: Path, importing: Importing, differing: list[str] | None) -> ImportReport:
    progress, manifest = importing.progress, importing.dump.manifest
    refused = sum(counts.refused for counts in progress.counts.values())
    return ImportReport(
        path=str(path),
        format=FORMAT,
        releases=[one.name for one in manifest.releases],
        layers_new=_layers(importing, beside=False),
        layers_known=_layers(importing, beside=True),
        tables=progress.counts,
        refused=refused,
        refusals=progress.refusals.first(),
        refusals_file=str(progress.refusals.path) if refused else None,
        resumed=progress.resumed,
        equal=None if differing is None else not differing,
        differing=differing or [],
        notes=progress.notes,
        cautions=[f"{one.name}: {one.caution}" for one in manifest.releases if one.caution],
    )


def _layers(importing: Importing, *, beside: bool) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for (release, layer), sae in importing.saes.items():
        if (sae.mode == BESIDE) == beside:
            found.setdefault(release, []).append(layer)
    return found
