"""What the workers do, by kind of step: read rows, call `sae`, `qwen` or `labeling`, write rows.

The modules are named, not imported: they import torch, and only pool processes may.
"""

from typing import Final

from scopebook import jobs

MODULE_OF: Final[dict[str, str]] = {
    jobs.ADD_RELEASE: "scopebook_workers.tasks.release",
    jobs.EXPORT_EMBEDDER: "scopebook_workers.tasks.embed",
    jobs.TOKENISE_CORPUS: "scopebook_workers.tasks.corpus",
    jobs.PLAN_RUN: "scopebook_workers.tasks.runs",
    jobs.COLLECT_SHARD: "scopebook_workers.tasks.shards",
    jobs.MERGE_SAE: "scopebook_workers.tasks.merge",
    jobs.TIDY_RUN: "scopebook_workers.tasks.tidy",
    jobs.COMPUTE_PANEL: "scopebook_workers.tasks.panel",
    jobs.LABEL_SAE: "scopebook_workers.tasks.label",
    jobs.LABEL_SAE_BY_MODEL: "scopebook_workers.tasks.label_by_model",
    jobs.WORD_SAE: "scopebook_workers.tasks.word",
    jobs.WRITE_BATCH: "scopebook_workers.tasks.batch",
    jobs.READ_BATCH: "scopebook_workers.tasks.batch",
    jobs.CHECK_LABELS: "scopebook_workers.tasks.check",
    jobs.EMBED_LABELS: "scopebook_workers.tasks.embed",
    jobs.MAP_RELEASE: "scopebook_workers.tasks.draw_map",
    jobs.SCORE_SAE: "scopebook_workers.tasks.score",
    jobs.COMPARE_SAE: "scopebook_workers.tasks.score",
    jobs.PLAN_SCAN: "scopebook_workers.tasks.scan_plan",
    jobs.SCAN_SHARD: "scopebook_workers.tasks.scan_shard",
    jobs.REPORT_SCAN: "scopebook_workers.tasks.scan_report",
    jobs.EXPORT_PRESET: "scopebook_workers.tasks.preset_export",
    jobs.TEST_PRESET: "scopebook_workers.tasks.preset_test",
    jobs.PRUNE_PRESET: "scopebook_workers.tasks.preset_prune",
    jobs.DELETE_ROWS: "scopebook_workers.tasks.delete",
    jobs.DELETE_FILES: "scopebook_workers.tasks.delete",
}
