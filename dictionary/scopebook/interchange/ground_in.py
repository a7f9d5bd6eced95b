"""Bring in what others rest on: models, releases and SAEs, corpora, runs and labelings.

All of it in one transaction. A dump that cannot belong to what is here is refused as a whole, since
labels of one SAE do not hold for another.
"""

from typing import Any, Final

from sqlalchemy import exists, func, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, Labeling
from scopebook.db.review_tables import Change
from scopebook.db.tables import (
    FEATURE_BITS,
    Evidence,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    Tokenizer,
    TokenPiece,
)
from scopebook.errors import ConflictError, InvalidInputError
from scopebook.interchange.corpora_in import corpus_here
from scopebook.interchange.dump_files import reason_of
from scopebook.interchange.ground_rows import PARTED
from scopebook.interchange.import_progress import DumpRow, keep_rows, kept_rows
from scopebook.interchange.importing import BESIDE, BLANK, MODES, NEW, Importing, SaeHere
from scopebook.interchange.row_checks import RefusedRowError, read_json
from scopebook.runs import RunParameters

#: Those who ask for work are people or commands; imports stand among them.
IMPORT_JOB: Final = "import"
_LABELERS: Final = ("keywords", "llm", "person")


def bring_ground(importing: Importing) -> None:
    """Add what is not here, and learn what the dump's names and numbers mean here."""
    with importing.progress.phase("ground") as session:
        if session is not None:
            _bring_all(session, importing)
            for kind, ids in _numbered(importing).items():
                keep_rows(session, importing.import_id, kind, list(ids.items()))
    with importing.progress.factory() as session:
        _recall(session, importing)


def _bring_all(session: Session, importing: Importing) -> None:
    try:
        models = _bring_models(session, importing)
        releases = _bring_releases(session, importing, models)
        _bring_saes(session, importing, releases)
        if importing.comes_whole():
            _bring_corpora(session, importing)
            _bring_runs(session, importing, releases)
            _bring_labelings(session, importing)
    except (IntegrityError, DataError, KeyError) as error:
        raise InvalidInputError(
            f"{importing.dump.folder} names models, releases or corpora in a way that the "
            f"dictionary cannot hold ({reason_of(error)}); export it anew."
        ) from error


def _bring_models(session: Session, importing: Importing) -> dict[str, Model]:
    pieces: dict[str, list[bytes]] = {}
    for rows in importing.dump.rows("token_pieces", size=8_192):
        for row in rows:
            pieces.setdefault(row.values["tokenizer"], []).append(row.values["piece"])
    _count(importing, "token_pieces", sum(map(len, pieces.values())))
    found = {}
    for row in importing.dump.all_rows("models"):
        found[row.values["name"]] = _bring_model(session, row.values, pieces)
    _count(importing, "models", len(found))
    return found


def _count(importing: Importing, table: str, rows: int) -> None:
    counts = importing.progress.of(table)
    counts.read = counts.written = rows


def _bring_model(session: Session, values: dict[str, Any], pieces: dict[str, list[bytes]]) -> Model:
    name, tokenizer_sha256 = values["name"], values["tokenizer"]
    tokenizer = session.scalar(select(Tokenizer).where(Tokenizer.sha256 == tokenizer_sha256))
    model = session.scalar(select(Model).where(Model.name == name))
    if model is not None:
        held = (model.layers, model.d_model, tokenizer and tokenizer.id)
        same = held == (values["layers"], values["d_model"], model.tokenizer_id)
        if not same or (model.sha256 and values["sha256"] and model.sha256 != values["sha256"]):
            raise ConflictError(
                f"The model {name} that is registered here is not the one of the dump (depth, "
                "width, tokenizer or weights differ), so what the dump says does not hold for it; "
                "import it into an instance without that model."
            )
        return model
    if tokenizer is None:
        tokenizer = _add_tokenizer(session, name, tokenizer_sha256, pieces)
    model = Model(
        # Not on this machine yet: `scopebook add` finds it by its name and notes where it is.
        path=name,
        tokenizer_id=tokenizer.id,
        **{
            column: values[column]
            for column in ("name", "revision", "layers", "d_model", "sha256", "created_at")
        },
    )
    session.add(model)
    session.flush()
    return model


def _add_tokenizer(
    session: Session, path: str, sha256: str, pieces: dict[str, list[bytes]]
) -> Tokenizer:
    if sha256 not in pieces:
        raise InvalidInputError(
            f"The dump holds no vocabulary {sha256[:12]}..., which its model {path} needs; export "
            "it anew."
        )
    tokenizer = Tokenizer(sha256=sha256, path=path)
    session.add(tokenizer)
    session.flush()
    copy_rows(
        session,
        TokenPiece,
        ["tokenizer_id", "token_id", "piece"],
        ((tokenizer.id, at, piece) for at, piece in enumerate(pieces[sha256])),
    )
    return tokenizer


def _bring_releases(
    session: Session, importing: Importing, models: dict[str, Model]
) -> dict[str, Release]:
    found = {}
    rows = importing.dump.all_rows("releases")
    for row in rows:
        values = dict(row.values)
        model = models.get(values.pop("model"))
        if model is None:
            raise InvalidInputError(
                f"The dump's release {values['name']} names a model that the dump does not hold; "
                "export it anew."
            )
        found[values["name"]] = _bring_release(session, values, model)
    _count(importing, "releases", len(rows))
    return found


def _bring_release(session: Session, values: dict[str, Any], model: Model) -> Release:
    release = session.scalar(select(Release).where(Release.name == values["name"]))
    if release is None:
        taken = session.scalar(
            select(Release.name).where(
                Release.model_id == model.id, Release.set_name == values["set_name"]
            )
        )
        if taken is not None:
            raise ConflictError(
                f"The release {taken} here has the set {values['set_name']} of {model.name} "
                f"already, so features of the dump's {values['name']} would have the same ids."
            )
        release = Release(model_id=model.id, **values)
        session.add(release)
        session.flush()
    elif (release.model_id, release.width) != (model.id, values["width"]):
        raise ConflictError(
            f"The release {release.name} here has {release.width:,} features a layer, or is for "
            f"another model, and the dump's has {values['width']:,} for {model.name}; import it "
            "into an instance without that release."
        )
    return release


def _bring_saes(session: Session, importing: Importing, releases: dict[str, Release]) -> None:
    rows = importing.dump.all_rows("saes")
    for row in rows:
        release = releases.get(row.values["release"])
        d_sae = row.values["d_sae"]
        if release is None or not 0 < (d_sae or 0) <= 2**FEATURE_BITS:
            raise InvalidInputError(
                f"The dump's SAE of layer {row.values['layer']} of {row.values['release']} has no "
                f"release, or not 1 to {2**FEATURE_BITS:,} features; export it anew."
            )
        sae, mode = _bring_sae(session, row.values, release)
        importing.saes[row.values["release"], row.values["layer"]] = SaeHere(sae.id, d_sae, mode)
    _count(importing, "saes", len(rows))


def _bring_sae(session: Session, values: dict[str, Any], release: Release) -> tuple[Sae, str]:
    sae = session.scalar(
        select(Sae).where(Sae.release_id == release.id, Sae.layer == values["layer"])
    )
    if sae is None:
        columns = ("layer", "d_sae", "kind", "k", "sha256", "created_at")
        sae = Sae(
            release_id=release.id,
            artifact="",  # its weights are not in a dump
            **{column: values[column] for column in columns},
        )
        session.add(sae)
        session.flush()
        return sae, NEW
    for column, what in (("d_sae", "features"), ("sha256", "as the hash of its file")):
        here, there = getattr(sae, column), values[column]
        if here != there:
            raise ConflictError(
                f"Layer {sae.layer} of {release.name} has {_short(here)} {what} here and "
                f"{_short(there)} in the dump, so labels of the one do not hold for the other; "
                "import it into an instance without that release."
            )
    return sae, BLANK if _is_blank(session, sae) else BESIDE


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{str(value)[:12]}..."


def _is_blank(session: Session, sae: Sae) -> bool:
    """Return whether nothing was found or said of an SAE's features yet."""
    first, end = sae.id << FEATURE_BITS, (sae.id + 1) << FEATURE_BITS
    found = exists().where(Evidence.feature_id >= first, Evidence.feature_id < end)
    said = exists().where(Label.sae_id == sae.id)
    done = exists().where(Change.feature_id >= first, Change.feature_id < end)
    return not (sae.current_run_id or session.scalar(select(found | said | done)))


def _bring_corpora(session: Session, importing: Importing) -> None:
    rows = importing.dump.all_rows("corpora")
    for row in rows:
        importing.corpora[row.values["name"]] = corpus_here(session, importing, row.values)
    _count(importing, "corpora", len(rows))
    rows = importing.dump.all_rows("tokenisations")
    for row in rows:
        values = row.values
        tokenizer = select(Tokenizer.id).where(Tokenizer.sha256 == values["tokenizer"])
        wanted = {
            "corpus_id": importing.corpora[values["corpus"]],
            "tokenizer_id": session.scalars(tokenizer).one(),
            "context_tokens": values["context_tokens"],
        }
        found = session.scalar(select(Tokenisation).filter_by(**wanted))
        if found is None:
            found = Tokenisation(created_at=values["created_at"], **wanted)
            session.add(found)
            session.flush()
        key = (values["corpus"], values["tokenizer"], values["context_tokens"])
        importing.tokenisations[key] = found.id
    _count(importing, "tokenisations", len(rows))


def _bring_runs(session: Session, importing: Importing, releases: dict[str, Release]) -> None:
    job = Job(
        kind=IMPORT_JOB,
        title=f"Import {importing.dump.folder.name}",
        parameters={"dump": importing.dump.sha256},
        state="done",
        started_at=func.now(),
        finished_at=func.now(),
    )
    session.add(job)
    session.flush()

    def add(row: DumpRow) -> None:
        values = row.values
        key = (values["corpus"], values["tokenizer"], values["context_tokens"])
        if key not in importing.tokenisations or values["release"] not in releases:
            raise RefusedRowError("its release or its corpus is not in the dump")
        parameters = read_json(row, "parameters")
        try:
            RunParameters(**parameters)
        except TypeError as error:
            raise RefusedRowError(f"its parameters are not those of a run ({error})") from error
        columns = ("layers", "tokens_seen", "contexts_seen", "created_at", "finished_at")
        run = Run(
            job_id=job.id,
            release_id=releases[values["release"]].id,
            tokenisation_id=importing.tokenisations[key],
            parameters=parameters,
            **{column: values[column] for column in columns},
        )
        session.add(run)
        session.flush()
        importing.runs[values["run"]] = run.id

    _add_each(session, importing, "runs", add)
    for row in importing.dump.all_rows("runs"):
        base_id = importing.runs.get(row.values["base_run"] or 0)
        if base_id is not None and row.values["run"] in importing.runs:
            session.get_one(Run, importing.runs[row.values["run"]]).base_run_id = base_id


def _bring_labelings(session: Session, importing: Importing) -> None:
    def add(row: DumpRow) -> None:
        values = row.values
        sae = importing.saes.get((values["release"], values["layer"]))
        if sae is None or values["run"] not in importing.runs:
            raise RefusedRowError("its SAE or its run is not in the dump")
        if sae.mode == BESIDE:
            return
        if values["source"] not in _LABELERS:
            raise RefusedRowError(f"its source is {values['source']}, not {', '.join(_LABELERS)}")
        parameters = read_json(row, "parameters")
        if importing.dump.manifest.version > 1 and PARTED in parameters:
            parameters[PARTED] = importing.labelings.get(parameters[PARTED], 0)
        # It is over once all that it said is in.
        columns = ("source", "method", "sha256", "created_at")
        labeling = Labeling(
            sae_id=sae.id,
            run_id=importing.runs[values["run"]],
            base_id=importing.labelings.get(values["base"] or 0),
            parameters=parameters,
            **{column: values[column] for column in columns},
        )
        session.add(labeling)
        session.flush()
        importing.labelings[values["labeling"]] = labeling.id

    _add_each(session, importing, "labelings", add)


def _add_each(session: Session, importing: Importing, table: str, add: Any) -> None:
    counts = importing.progress.of(table)
    for row in importing.dump.all_rows(table):
        counts.read += 1
        try:
            with session.begin_nested():
                add(row)
        except RefusedRowError as refused:
            importing.progress.refuse(table, row.place, str(refused))
        except (IntegrityError, DataError) as error:
            importing.progress.refuse(table, row.place, reason_of(error))
        else:
            counts.written += 1


def _numbered(importing: Importing) -> dict[str, dict[int, int]]:
    """Return what has to be remembered, by kind: row ids by their place in the dump."""
    saes = enumerate(importing.saes.values())
    kinds: dict[str, dict[int, int]] = {mode: {} for mode in MODES}
    for at, sae in saes:
        kinds[sae.mode][at] = sae.id
    return kinds | {
        "corpus": dict(enumerate(importing.corpora.values())),
        "tokenisation": dict(enumerate(importing.tokenisations.values())),
        "run": importing.runs,
        "labeling": importing.labelings,
    }


def _recall(session: Session, importing: Importing) -> None:
    """Learn again what an interrupted import had learned."""

    def kept(kind: str) -> dict[int, int]:
        return kept_rows(session, importing.import_id, kind)

    modes = {at: (row_id, mode) for mode in MODES for at, row_id in kept(mode).items()}
    for at, row in enumerate(importing.dump.all_rows("saes")):
        row_id, mode = modes[at]
        key = (row.values["release"], row.values["layer"])
        importing.saes[key] = SaeHere(row_id, row.values["d_sae"], mode)
    corpora, cuts = kept("corpus"), kept("tokenisation")
    for at, row in enumerate(importing.dump.all_rows("corpora") if corpora else []):
        importing.corpora[row.values["name"]] = corpora[at]
    for at, row in enumerate(importing.dump.all_rows("tokenisations") if cuts else []):
        values = row.values
        key_of_cut = (values["corpus"], values["tokenizer"], values["context_tokens"])
        importing.tokenisations[key_of_cut] = cuts[at]
    importing.runs, importing.labelings = kept("run"), kept("labeling")
