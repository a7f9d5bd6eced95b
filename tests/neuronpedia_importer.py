"""What Neuronpedia's importer does with a file of its layout, on a real PostgreSQL.

Its tables as of August 2026, with the columns and constraints that a dump meets; the columns are
taken from the first line, NULs become spaces, and what is there already is skipped.
"""

import gzip
import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

TABLES = """
CREATE TABLE "User" (id text PRIMARY KEY);
INSERT INTO "User" VALUES ('clkht01d40000jv08hvalcvly');
CREATE TABLE "ExplanationType" (
    name text PRIMARY KEY, "displayName" text NOT NULL, description text NOT NULL,
    featured bool NOT NULL DEFAULT true, "isAttention" bool NOT NULL DEFAULT false, url text,
    "creatorName" text NOT NULL, "creatorId" text NOT NULL REFERENCES "User");
CREATE TABLE "ExplanationModelType" (
    name text PRIMARY KEY, "displayName" text NOT NULL, description text NOT NULL,
    featured bool NOT NULL DEFAULT true, url text, "creatorName" text NOT NULL);
CREATE TABLE "SourceRelease" (
    name text PRIMARY KEY, visibility text NOT NULL DEFAULT 'PRIVATE', description text NOT NULL,
    "descriptionShort" text, urls text[], "creatorName" text NOT NULL, "creatorNameShort" text,
    "creatorId" text NOT NULL REFERENCES "User", "createdAt" timestamp NOT NULL DEFAULT now());
CREATE TABLE "Model" (
    id text PRIMARY KEY, "displayName" text NOT NULL DEFAULT '',
    "displayNameShort" text NOT NULL DEFAULT '', "creatorId" text NOT NULL REFERENCES "User",
    dimension int, visibility text NOT NULL DEFAULT 'PRIVATE', instruct bool NOT NULL DEFAULT false,
    layers int NOT NULL, "neuronsPerLayer" int NOT NULL, owner text NOT NULL);
CREATE TABLE "SourceSet" (
    "modelId" text NOT NULL REFERENCES "Model", name text NOT NULL, visibility text NOT NULL,
    description text NOT NULL, type text NOT NULL DEFAULT '', "creatorName" text NOT NULL,
    urls text[], "creatorId" text NOT NULL REFERENCES "User",
    "releaseName" text REFERENCES "SourceRelease", "defaultRange" int NOT NULL DEFAULT 1,
    "defaultShowBreaks" bool NOT NULL, "showDfa" bool NOT NULL, "showCorrelated" bool NOT NULL,
    "showHeadAttribution" bool NOT NULL, "showUmap" bool NOT NULL, UNIQUE ("modelId", name));
CREATE TABLE "Source" (
    id text NOT NULL, "modelId" text NOT NULL REFERENCES "Model",
    "hasDashboards" bool NOT NULL DEFAULT true, "inferenceEnabled" bool NOT NULL DEFAULT false,
    "hfRepoId" text, "hfFolderId" text, visibility text NOT NULL, "setName" text NOT NULL,
    "creatorId" text NOT NULL REFERENCES "User", num_prompts int, num_tokens_in_prompt int,
    dataset text, UNIQUE ("modelId", id),
    FOREIGN KEY ("modelId", "setName") REFERENCES "SourceSet" ("modelId", name));
CREATE TABLE "Neuron" (
    "modelId" text NOT NULL, layer text NOT NULL, index text NOT NULL, "sourceSetName" text,
    "creatorId" text REFERENCES "User", "maxActApprox" float8 DEFAULT 0,
    "hasVector" bool NOT NULL DEFAULT false, vector float8[] NOT NULL DEFAULT '{}',
    "vectorLabel" text, "vectorDefaultSteerStrength" float8 DEFAULT 10, "hookName" text,
    "topkCosSimIndices" int[] NOT NULL DEFAULT '{}',
    "topkCosSimValues" float8[] NOT NULL DEFAULT '{}',
    neuron_alignment_indices int[] NOT NULL DEFAULT '{}',
    neuron_alignment_values float8[] NOT NULL DEFAULT '{}',
    neuron_alignment_l1 float8[] NOT NULL DEFAULT '{}',
    correlated_neurons_indices int[] NOT NULL DEFAULT '{}',
    correlated_neurons_pearson float8[] NOT NULL DEFAULT '{}',
    correlated_neurons_l1 float8[] NOT NULL DEFAULT '{}',
    correlated_features_indices int[] NOT NULL DEFAULT '{}',
    correlated_features_pearson float8[] NOT NULL DEFAULT '{}',
    correlated_features_l1 float8[] NOT NULL DEFAULT '{}',
    neg_str text[] NOT NULL DEFAULT '{}', neg_values float8[] NOT NULL DEFAULT '{}',
    pos_str text[] NOT NULL DEFAULT '{}', pos_values float8[] NOT NULL DEFAULT '{}',
    frac_nonzero float8 NOT NULL DEFAULT 0,
    freq_hist_data_bar_heights float8[] NOT NULL DEFAULT '{}',
    freq_hist_data_bar_values float8[] NOT NULL DEFAULT '{}',
    logits_hist_data_bar_heights float8[] NOT NULL DEFAULT '{}',
    logits_hist_data_bar_values float8[] NOT NULL DEFAULT '{}',
    decoder_weights_dist float8[] NOT NULL DEFAULT '{}', UNIQUE ("modelId", layer, index),
    FOREIGN KEY ("modelId", layer) REFERENCES "Source" ("modelId", id));
CREATE TABLE "Activation" (
    id text PRIMARY KEY, tokens text[] NOT NULL, "dataIndex" text, index text NOT NULL,
    layer text NOT NULL, "modelId" text NOT NULL, "dataSource" text, "maxValue" float8 NOT NULL,
    "maxValueTokenIndex" int NOT NULL, "minValue" float8 NOT NULL, values float8[] NOT NULL,
    "dfaValues" float8[] NOT NULL DEFAULT '{}', "zQIndices" int[] NOT NULL DEFAULT '{}',
    "zKIndices" int[] NOT NULL DEFAULT '{}', "zValues" float8[] NOT NULL DEFAULT '{}',
    "creatorId" text NOT NULL REFERENCES "User", "lossValues" float8[] NOT NULL DEFAULT '{}',
    "binMin" float8, "binMax" float8, "binContains" float8, "qualifyingTokenIndex" int,
    FOREIGN KEY ("modelId", layer, index) REFERENCES "Neuron" ("modelId", layer, index));
CREATE TABLE "Explanation" (
    id text PRIMARY KEY, "modelId" text NOT NULL, layer text NOT NULL, index text NOT NULL,
    embedding vector(256), description text NOT NULL, "authorId" text NOT NULL REFERENCES "User",
    notes text, "typeName" text REFERENCES "ExplanationType",
    "explanationModelName" text REFERENCES "ExplanationModelType",
    "createdAt" timestamp NOT NULL DEFAULT now(),
    FOREIGN KEY ("modelId", layer, index) REFERENCES "Neuron" ("modelId", layer, index));
"""

_COLUMNS = """
SELECT column_name, CASE WHEN data_type = 'ARRAY' THEN udt_name::regtype::text
                         WHEN data_type = 'USER-DEFINED' THEN udt_name ELSE data_type END
FROM information_schema.columns WHERE table_name = :table AND column_name = ANY(:keys)
ORDER BY ordinal_position
"""
FILES = {
    "SourceRelease": "release.jsonl",
    "Model": "model.jsonl",
    "SourceSet": "sourceset.jsonl",
    "Source": "source.jsonl",
    "Neuron": "features/*.jsonl.gz",
    "Activation": "activations/*.jsonl.gz",
    "Explanation": "explanations/*.jsonl.gz",
}


def make_tables(connection: Connection) -> None:
    """Make its tables, in a schema of their own."""
    connection.execute(text("CREATE SCHEMA neuronpedia"))
    connection.execute(text("SET search_path = neuronpedia, public"))
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(text(statement))


def read_dump(connection: Connection, dump: Path) -> None:
    """Read the config and every source of a dump."""
    for table, name in (
        ("ExplanationModelType", "explanation_model_type"),
        ("ExplanationType", "explanation_type"),
    ):
        _read_lines(connection, table, (dump / f"v1/config/{name}.jsonl").read_text())
    for source in sorted(dump.glob("v1/*/*/source.jsonl")):
        for table, pattern in FILES.items():
            for file in sorted(source.parent.glob(pattern)):
                content = file.read_bytes()
                lines = gzip.decompress(content) if file.suffix == ".gz" else content
                _read_lines(connection, table, lines.decode())


def _read_lines(connection: Connection, table: str, content: str) -> None:
    lines = content.replace("\\u0000", " ").strip().split("\n")
    keys = list(json.loads(lines[0]))
    found: Any = connection.execute(text(_COLUMNS), {"table": table, "keys": keys}).all()
    names = ", ".join(f'"{name}"' for name, _ in found)
    kinds = ", ".join(f'"{name}" {kind}' for name, kind in found)
    connection.execute(
        text(
            f'INSERT INTO "{table}" ({names}) '
            f"SELECT {names} FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t({kinds}) "
            "ON CONFLICT DO NOTHING"
        ),
        {"rows": f"[{','.join(lines)}]"},
    )
