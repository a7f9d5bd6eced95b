"""A dictionary in which every text that somebody could have written is an attack on its readers."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.orm import Session

from dumps import make_dictionary
from makers import make_embedding, make_label, make_scan
from scopebook.accounts import Actor, actor_of, find_account
from scopebook.artifacts import write_artifact
from scopebook.audit import record
from scopebook.db.account_tables import Account, ApiToken
from scopebook.db.import_tables import DumpImport
from scopebook.db.jobs import Job, Step
from scopebook.db.map_tables import FeatureMap
from scopebook.db.preset_tables import PresetExport, PresetReport
from scopebook.db.tables import Sae
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.logins import start_session
from scopebook.map_points import COLUMNS, MapPoints
from scopebook.maps import labels_state
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft
from scopebook.preset_tests import PresetTest
from scopebook.presets import create_preset, decide
from scopebook.scan_files import FEATURE_COLUMNS, HIT_COLUMNS
from scopebook.steering import Intervention
from scopebook_api.preset_schemas import PresetTestFoundRead, PruneFoundRead
from scopebook_api.scan_schemas import ScanSummaryRead

#: What a reader's browser must take for letters: `hit` is what the test's page counts.
ATTACK: Final = (
    "\"'><script data-hostile>hit()</script><img data-hostile src=x onerror=hit()>"
    "<svg data-hostile onload=hit()><a xlink:href='javascript:hit()'>x</a></svg>"
    "<a data-hostile href='javascript:hit()'>x</a> [x](javascript:hit()) "
    "</title></textarea></style><style data-hostile>*{color:red}</style>"
    "<iframe data-hostile srcdoc='<script>parent.hit()</script>'></iframe>"
    "{{constructor.constructor('hit()')()}} {@html hit()} ${hit()} \u202e\u2066\u200b"
)

#: The same in what fits where names are short.
SHORT: Final = (
    "\"'><img data-hostile src=x onerror=hit()><script data-hostile>hit()</script>"
    "<a data-hostile href='javascript:hit()'>x</a>{{hit()}}\u202e\u200b"
)

_OURS: Final = "Scopebook writes it: one of its own words, a hash or a path"
_LISTED: Final = "one of a list, held by the API"
_NAME: Final = "addresses are made of it, and what registers it holds its letters"
#: Columns that hold no text of anybody's, each with the reason.
HELD: Final = {
    "account": {
        **{"role": "checked by the database", "password_hash": _OURS},
        **{"issuer": "a provider's, shown nowhere", "subject": "a provider's, shown nowhere"},
        "imported_name": "one is made with the attack",
    },
    "alembic_version": {"version_num": _OURS},
    "api_token": {"scope": "checked by the database"},
    "bulk_action": {"token": _OURS, "features": "numbers"},
    "change": {"kind": _OURS, "slot": _OURS, "rests": _OURS},
    "dump_import": {"sha256": _OURS, "format": _OURS},
    "embedder": {"sha256": _OURS, "artifact": _OURS},
    "evidence": {"flags": _OURS},
    "feature_entry": {
        **dict.fromkeys(("flags", "source", "author", "state", "script", "scorer"), _OURS),
    },
    "imported_row": {"kind": _OURS},
    "inference": dict.fromkeys(
        ("kind", "parameters", "state", "worker", "written", "error", "error_kind"),
        "an hour's answer to who asked, read by nobody else",
    ),
    "job": {"kind": _OURS, "state": "checked by the database", "error_kind": _OURS},
    "kept_answer": {"key": "never shown", "request": "never shown", "headers": _OURS},
    "label": {"kind": _LISTED, "source": "checked by the database", "status": _OURS},
    "label_outcome": {"kind": _LISTED, "status": "checked by the database"},
    "label_score": {"scorer": _OURS},
    "labeling": {"source": "checked by the database", "sha256": _OURS},
    "map": {"labels_state": _OURS, "artifact": _OURS},
    "meter": {"name": _OURS, "labels": "kinds and outcomes, for a scrape alone"},
    "model": {"sha256": _OURS},
    "panel": {"artifact": _OURS},
    "presence": {"viewer": "never shown"},
    "preset": {"key": "its address, which Scopebook makes", "visible_to": "checked"},
    "preset_decision": {"status": "checked by the database"},
    "preset_export": {"target": _OURS, "artifact": _OURS, "sha256": _OURS},
    "preset_report": {"kind": _OURS},
    "preset_version": {"sha256": _OURS},
    "release": {"name": _NAME, "set_name": _NAME},
    "release_visibility": {"role": "checked by the database"},
    "review": {"verdict": "checked by the database"},
    "run_state": {"artifact": _OURS},
    "sae": {"sha256": _OURS, "artifact": _OURS, "kind": "checked by the database"},
    "scan": {"guide": _OURS, "features_artifact": _OURS, "hits_artifact": _OURS},
    "scan_shard": {"artifact": _OURS},
    "shard": {"artifact": _OURS},
    "step": {"kind": _OURS, "state": "checked by the database", "error_kind": _OURS},
    "tokenizer": {"sha256": _OURS},
    "webhook": {"events": _LISTED, "secret": _OURS},
    "webhook_delivery": {"event": _LISTED, "state": "checked by the database"},
    "worker": dict.fromkeys(("name", "host", "queues", "gauges", "gpus"), "on no page"),
}
#: Bytes that are text.
BYTES_OF_TEXT: Final = {"token_piece": ("piece",)}
#: Strings in JSON that Scopebook itself writes and reads again.
_HELD_KEYS: Final = frozenset(
    (
        "arch",
        "combine",
        "comparison",
        "error_term",
        "expect",
        "feature",
        "features",
        "finished_at",
        "flags",
        "generation",
        "hook",
        "id",
        "kind",
        "label_source",
        "loss",
        "measure",
        "method",
        "model",
        "normalise",
        "op",
        "parts",
        "positions",
        "prompt_positions",
        "ref",
        "release",
        "revision",
        "sae",
        "sae_sha256",
        "schema",
        "sha256",
        "slot",
        "state",
        "tokenizer_sha256",
        "trained_on",
        "type",
        "unit",
        "verdict",
        "weights_sha256",
    )
)


class Column(NamedTuple):
    """A column of the database."""

    table: str
    name: str
    type: str


def text_columns(session: Session) -> Iterator[Column]:
    """Yield every column that can hold a text, as the database knows them."""
    found = session.execute(
        text(
            "SELECT table_name, column_name, udt_name FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, ordinal_position"
        )
    )
    for table, name, kind in found:
        of_text = name in BYTES_OF_TEXT.get(table, ())
        if of_text or kind in ("text", "varchar", "bpchar", "_text", "_varchar", "jsonb", "json"):
            yield Column(table, name, kind)


def marked(table: str, column: str, attack: str = ATTACK) -> str:
    """Return the attack with the place it was planted in, to be found on pages."""
    return f"[{table}.{column}] {attack}"


def plant(session: Session) -> dict[str, int]:
    """Put the attack into every text; return the rows of each table that has one."""
    session.flush()
    # Rows that only grow are changed here as an import or a hand at the database could.
    session.execute(text("SET LOCAL session_replication_role = replica"))
    columns: dict[str, list[Column]] = {}
    for one in text_columns(session):
        if one.name not in HELD.get(one.table, {}):
            columns.setdefault(one.table, []).append(one)
    rows = {}
    for table, planted in columns.items():
        for one in planted:
            _plant(session, one)
        rows[table] = session.scalar(text(f'SELECT count(*) FROM "{table}"')) or 0
    session.execute(text("SET LOCAL session_replication_role = origin"))
    session.expire_all()
    return rows


def _plant(session: Session, one: Column) -> None:
    attack = marked(one.table, one.name)
    if one.type in ("json", "jsonb"):
        _plant_json(session, one)
        return
    value = {
        "_text": "ARRAY[:attack || substr(md5(ctid::text), 1, 6)]",
        "_varchar": "ARRAY[:attack || substr(md5(ctid::text), 1, 6)]",
        "bytea": "convert_to(:attack || substr(md5(ctid::text), 1, 6), 'UTF8')",
    }.get(one.type, ":attack || substr(md5(ctid::text), 1, 6)")
    # Names by which Scopebook finds its own are no one else's to choose.
    kept = " WHERE name NOT IN ('local', 'ada')" if one[:2] == ("account", "name") else ""
    statement = f'UPDATE "{one.table}" SET "{one.name}" = {value}{kept}'
    session.execute(text(statement), {"attack": attack})


def _plant_json(session: Session, one: Column) -> None:
    table, name = one.table, one.name
    found = session.execute(
        text(f'SELECT ctid::text, "{name}" FROM "{table}" WHERE "{name}" IS NOT NULL')
    ).all()
    for place, value in found:
        session.execute(
            text(
                f'UPDATE "{table}" SET "{name}" = CAST(:value AS jsonb) '
                "WHERE ctid = CAST(:place AS tid)"
            ),
            {"value": json.dumps(_attacked(value, marked(table, name, SHORT))), "place": place},
        )


def _attacked(value: Any, attack: str, key: str = "") -> Any:
    """Return JSON with the attack for every string that may be somebody's words."""
    if key in _HELD_KEYS:
        return value
    if isinstance(value, dict):
        return {name: _attacked(one, attack, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_attacked(one, attack, key) for one in value]
    return attack if isinstance(value, str) else value


def sample(shape: dict[str, Any], known: dict[str, Any]) -> Any:
    """Return a value of a JSON schema with everything in it, each text an attack."""
    if "$ref" in shape:
        return sample(known[shape["$ref"].rsplit("/", 1)[1]], known)
    if "anyOf" in shape:
        return sample(shape["anyOf"][0], known)
    if "enum" in shape or "const" in shape:
        return shape.get("const", shape.get("enum", [""])[0])
    kind = shape.get("type")
    if kind == "object" and "properties" in shape:
        return {name: sample(one, known) for name, one in shape["properties"].items()}
    if kind == "object":
        inner = shape.get("additionalProperties")
        return {"x": sample(inner, known)} if isinstance(inner, dict) else {}
    if kind == "array":
        return [sample(shape["items"], known)]
    return {"integer": 1, "number": 0.5, "boolean": True}.get(str(kind), SHORT)


def sample_of(shape: type[BaseModel]) -> Any:
    """Return an answer of this shape with everything in it, each text an attack."""
    schema = shape.model_json_schema()
    return sample(schema, schema.get("$defs", {}))


class Planted(NamedTuple):
    """A planted dictionary: what its pages are reached by."""

    rows: dict[str, int]
    secret: str
    preset: str
    list: int
    scan: int
    job: int
    run: int


def make_hostile(session: Session) -> Planted:
    """Add a dictionary that has all there is, and plant it."""
    saes = make_dictionary(session)
    account = find_account(session, "ada")
    account.role = "admin"
    ada = actor_of(account, "login")
    session.add(
        Account(
            **{"name": "gone", "role": "viewer", "disabled_at": datetime.now(UTC)},
            imported_name=marked("account", "imported_name"),
        )
    )
    record(session, ada, "x", "y", why="z")
    job = _work(session)
    _told(session, ada)
    preset = _preset(session, ada, saes[0], job)
    _map(session, saes)
    scan = _scan(session, saes[0])
    found = session.execute(text("SELECT min(id), max(id) FROM run")).one()
    lists = session.scalar(text("SELECT min(id) FROM feature_list")) or 0
    session.add(DumpImport(sha256="0" * 64, format="x", source="x", progress={"refused": ["x"]}))
    rows = plant(session)
    secret = start_session(session, account, days=1, agent="an agent")
    return Planted(rows, secret, preset, lists, scan, job, found[0])


def _work(session: Session) -> int:
    """Add a job that failed, with a step that did."""
    now = datetime.now(UTC)
    ended = {"state": "failed", "error": "x", "started_at": now, "finished_at": now}
    job = Job(kind="label", title="x", parameters={"release": "x"}, **ended)
    session.add(job)
    session.flush()
    step = Step(job_id=job.id, stage=0, kind="label.sae", title="x", parameters={}, **ended)
    step.worker, step.unit, step.total = "x", "x", 3
    session.add(step)
    session.flush()
    return job.id


def _told(session: Session, ada: Actor) -> None:
    """Add what an account has: a token, a login, a webhook that was not reached."""
    now = datetime.now(UTC)
    session.add(
        ApiToken(
            **{"account_id": ada.account_id, "name": "x", "sha256": hashlib.sha256(b"t").digest()},
            **{"hint": "sb_x", "scope": "read", "expires_at": now + timedelta(days=1)},
        )
    )
    start_session(session, find_account(session, "ada"), days=1, address="x", agent="x")
    hook = Webhook(
        account_id=ada.account_id, url="https://x.org", events=["label.accepted"], secret="s"
    )
    session.add(hook)
    session.flush()
    session.add(
        WebhookDelivery(
            **{"webhook_id": hook.id, "event": "label.accepted", "payload": {"text": "x"}},
            **{"state": "failed", "error": "x", "finished_at": now},
        )
    )


def _preset(session: Session, ada: Actor, sae: Sae, job: int) -> str:
    """Add an approved preset with a test that was done, and an export."""
    feature = f"Tiny-Model/{sae.layer}-res-w1k-l0_8/0"
    done = Intervention(feature=feature, op="add", value=2.0, unit="raw")
    test = PresetTest(
        **{"name": "x", "prompts": ["x"], "measure": "text", "of": "x"}, expect="above", value=0.1
    )
    draft = PresetDraft(
        interventions=[DraftIntervention(intervention=done, group="x")],
        groups=[Group(name="x")],
        tests=[test],
    )
    view = create_preset(session, ada, "x", draft, description="x", note="x")
    decide(session, ada, view.id, view.revision, 1, "approved", "x")
    version = session.scalar(text("SELECT max(id) FROM preset_version")) or 0
    tests = {"tests": [sample_of(PresetTestFoundRead)]}
    session.add_all(
        [
            PresetReport(version_id=version, kind="test", job_id=job, found=tests),
            PresetReport(
                version_id=version, kind="prune", job_id=job, found=sample_of(PruneFoundRead)
            ),
            PresetExport(version_id=version, target="peft", job_id=job),
        ]
    )
    session.flush()
    return str(view.id)


def _map(session: Session, saes: list[Sae]) -> None:
    label = make_label(session, saes[0], 7, "names of rivers")
    column = np.arange(2)
    points = MapPoints(*(column.astype(kind) for _, kind in COLUMNS))
    features = [[label.feature_id, "x"]]
    session.add(
        FeatureMap(
            release_id=saes[0].release_id,
            embedder_id=make_embedding(session, label, [1.0, 0.0]),
            layers=[1],
            labels_state=labels_state(session, [sae.id for sae in saes]),
            parameters={"method": "umap"},
            regions=[
                {"name": "x", "x": float(at), "y": 0.5, "size": 1, "features": features}
                for at in range(2)
            ],
            points=2,
            artifact=write_artifact("maps/hostile.bin", points.write),
        )
    )


def _scan(session: Session, sae: Sae) -> int:
    """Add a scan that is done, with its table of features and no hits."""
    corpus = session.scalar(text("SELECT min(id) FROM corpus")) or 0
    scan = make_scan(session, sae.release_id, corpus)
    attack = marked("scan", "file")
    numbers = {name: [1.0] for name in FEATURE_COLUMNS}
    texts = {"feature": [attack], "part": [""], "label": [attack], "flags": [[attack]]}
    ids = {name: [1] for name in ("feature_id", "layer", "index", "tokens", "documents")}
    table = pa.table({**numbers, **ids, **texts})
    hits = pa.table({name: pa.array([], pa.string()) for name in HIT_COLUMNS})
    scan.features_artifact = write_artifact("scan/f.parquet", lambda f: pq.write_table(table, f))
    scan.hits_artifact = write_artifact("scan/h.parquet", lambda f: pq.write_table(hits, f))
    scan.summary = sample_of(ScanSummaryRead) | {
        "parameters": {"fdr": 0.05, "layers": [1], "sink_factor": 10.0, "against": None}
    }
    scan.finished_at, scan.owns_corpus = datetime.now(UTC), False
    session.get_one(Job, scan.job_id).state = "done"
    session.flush()
    return scan.id
