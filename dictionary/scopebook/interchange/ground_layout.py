"""Tables of a dump that others rest on: models, releases, corpora, runs, labelings."""

from typing import Final

import pyarrow as pa

from scopebook.interchange.columns import (
    CREATED,
    CUT,
    I16,
    I32,
    I64,
    RUN,
    TEXT,
    WHEN,
    DumpTable,
    column,
    derived,
    list_of,
)

GROUND: Final = (
    DumpTable(
        "models",
        "The checkpoints that were run.",
        (
            column("name", TEXT, "the model's name"),
            column("revision", TEXT, "revision on the hub"),
            column("layers", I32, "its depth"),
            column("d_model", I32, "its width"),
            column("sha256", TEXT, "over its weights, where known"),
            column("tokenizer", TEXT, "SHA-256 of its vocabulary"),
            CREATED,
        ),
    ),
    DumpTable(
        "token_pieces",
        "The vocabularies.",
        (
            column("tokenizer", TEXT, "SHA-256 of the vocabulary"),
            column("token_id", I32, "number of the token"),
            column("piece", pa.binary(), "its bytes"),
            derived("text", TEXT, "its bytes as text; what is no whole character as `\\xe4`"),
        ),
    ),
    DumpTable(
        "releases",
        "Published sets of SAEs.",
        (
            column("name", TEXT, "the release's name"),
            column("model", TEXT, "the model it is for"),
            column("set_name", TEXT, "its part of every feature's id"),
            column("width", I32, "features of a layer"),
            column("k", I32, "active features of a token, where all layers have the same"),
            column("source", TEXT, "hub id or folder it was added from"),
            column("revision", TEXT, "revision on the hub"),
            column("caution", TEXT, "what its publisher asks of users, and its licence"),
            CREATED,
        ),
    ),
    DumpTable(
        "saes",
        "One layer's autoencoder each; weights are not in a dump.",
        (
            column("release", TEXT, "name of the release"),
            column("layer", I16, "its layer"),
            column("d_sae", I32, "how many features it has"),
            column("kind", TEXT, "`topk`, `threshold` or `relu`"),
            column("k", I32, "active features of a token"),
            column("sha256", TEXT, "of the file it was read from"),
            column("shown_run", I32, "number of the run whose evidence is shown"),
            CREATED,
        ),
    ),
    DumpTable(
        "corpora",
        "Bodies of text; a dump holds those of their documents that something points to.",
        (
            column("name", TEXT, "the corpus's name"),
            column("source", TEXT, "where it was read from"),
            derived("documents", I64, "how many documents the whole corpus had"),
            CREATED,
        ),
    ),
    DumpTable(
        "tokenisations",
        "How corpora were cut into contexts.",
        (
            *CUT,
            CREATED,
        ),
    ),
    DumpTable(
        "runs",
        "Collections over a corpus.",
        (
            column("run", I32, "its number in the dump"),
            column("release", TEXT, "name of the release"),
            *CUT,
            column("layers", list_of(I16), "layers that were collected"),
            column("parameters", TEXT, "everything else that was asked for, JSON"),
            column("tokens_seen", I64, "tokens that were read"),
            column("contexts_seen", I64, "contexts that were read"),
            column("base_run", I32, "the run it went on from"),
            column("last_document", I32, "the corpus's last document then, by its ordinal"),
            CREATED,
            column("finished_at", WHEN, "when it was over"),
        ),
    ),
    DumpTable(
        "labelings",
        "Passes over the features of an SAE that word the examples of a run.",
        (
            column("labeling", I32, "its number in the dump"),
            column("release", TEXT, "name of the release"),
            column("layer", I16, "layer of the SAE"),
            RUN,
            column("source", TEXT, "`keywords`, `llm`, or `person` who parted the examples"),
            column("method", TEXT, "the method, or the model asked for"),
            column("base", I32, "number of the labeling whose senses it words"),
            column("parameters", TEXT, "what else decides what is said, JSON"),
            column("sha256", TEXT, "over what decides"),
            CREATED,
            column("finished_at", WHEN, "when it had been through all features"),
        ),
    ),
)
