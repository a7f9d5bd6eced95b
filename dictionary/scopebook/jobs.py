"""The names of background work: which kinds of steps there are and which queue carries each.

API, command line and workers know each other by these names and by row ids only.
"""

from collections.abc import Collection
from typing import Final

ADD_RELEASE: Final = "release.add"
EXPORT_EMBEDDER: Final = "embedder.export"
TOKENISE_CORPUS: Final = "corpus.tokenise"
PLAN_RUN: Final = "run.plan"
COLLECT_SHARD: Final = "shard.collect"
MERGE_SAE: Final = "sae.merge"
TIDY_RUN: Final = "run.tidy"
COMPUTE_PANEL: Final = "run.panel"
LABEL_SAE: Final = "sae.label"
#: The same with windows that a model in the worker embeds.
LABEL_SAE_BY_MODEL: Final = "sae.label.model"
WORD_SAE: Final = "sae.word"
WRITE_BATCH: Final = "batch.write"
READ_BATCH: Final = "batch.read"
CHECK_LABELS: Final = "labels.check"
EMBED_LABELS: Final = "labels.embed"
MAP_RELEASE: Final = "release.map"
SCORE_SAE: Final = "sae.score"
COMPARE_SAE: Final = "sae.compare"
#: No step: a look at what people wait for (`scopebook.inferences`).
INFER: Final = "inference.answer"
PLAN_SCAN: Final = "scan.plan"
SCAN_SHARD: Final = "scan.shard"
REPORT_SCAN: Final = "scan.report"
EXPORT_PRESET: Final = "preset.export"
TEST_PRESET: Final = "preset.test"
PRUNE_PRESET: Final = "preset.prune"
DELETE_ROWS: Final = "rows.delete"
DELETE_FILES: Final = "files.delete"

CPU: Final = "cpu"
GPU: Final = "gpu"
LLM: Final = "llm"
#: Its workers do nothing else, so that no collection keeps a person waiting.
LIVE: Final = "live"

#: The queue of each kind of step. Work that runs a model goes to `gpu`, so that a team can give
#: that queue to its GPU machines; work that waits for a language model goes to
#: `llm`. An embedded instance consumes all.
QUEUE_OF: Final[dict[str, str]] = {
    ADD_RELEASE: CPU,
    EXPORT_EMBEDDER: CPU,
    TOKENISE_CORPUS: CPU,
    PLAN_RUN: CPU,
    COLLECT_SHARD: GPU,
    MERGE_SAE: CPU,
    TIDY_RUN: CPU,
    COMPUTE_PANEL: GPU,
    LABEL_SAE: CPU,
    LABEL_SAE_BY_MODEL: GPU,
    WORD_SAE: LLM,
    WRITE_BATCH: CPU,
    READ_BATCH: CPU,
    CHECK_LABELS: GPU,
    EMBED_LABELS: GPU,
    MAP_RELEASE: CPU,
    SCORE_SAE: LLM,
    COMPARE_SAE: GPU,
    PLAN_SCAN: CPU,
    SCAN_SHARD: GPU,
    REPORT_SCAN: CPU,
    EXPORT_PRESET: GPU,
    TEST_PRESET: GPU,
    PRUNE_PRESET: GPU,
    DELETE_ROWS: CPU,
    DELETE_FILES: CPU,
}

#: Kinds that go before others of a queue, since somebody looks at a page until they are done ...
SOON: Final = (EXPORT_PRESET, TEST_PRESET)
#: ... and kinds that come after them: there are many of each, or they take long.
BULK: Final = (
    *(COLLECT_SHARD, SCAN_SHARD, COMPUTE_PANEL, PRUNE_PRESET),
    *(LABEL_SAE, LABEL_SAE_BY_MODEL, WORD_SAE, SCORE_SAE, COMPARE_SAE),
)

#: Steps that run the model over a part of a text, each with its tokens as its size.
READING: Final = (COLLECT_SHARD, SCAN_SHARD)

QUEUES: Final = tuple(sorted(set(QUEUE_OF.values())))


def kinds_of(queues: Collection[str]) -> list[str]:
    """Return the kinds of steps that these queues carry."""
    return [kind for kind, queue in QUEUE_OF.items() if queue in queues]


def queue_of(kind: str) -> str:
    """Return the queue that carries the notices of a kind of work."""
    return LIVE if kind == INFER else QUEUE_OF[kind]
