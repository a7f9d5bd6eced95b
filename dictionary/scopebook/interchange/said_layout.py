"""Tables of a dump that hold what people and models said."""

from typing import Final

import pyarrow as pa

from scopebook.interchange.columns import (
    BOOL,
    CREATED,
    F32,
    F64,
    FEATURE,
    I16,
    I32,
    I64,
    TEXT,
    DumpTable,
    column,
    list_of,
)

_OF_LABELING: Final = (*FEATURE, column("labeling", I32, "number of the labeling"))
_LABEL: Final = column("label", I64, "number of the label")

SAID: Final = (
    DumpTable(
        "outcomes",
        "How a labeling ended for a feature, also without a label.",
        (
            *_OF_LABELING,
            column("status", TEXT, "`ok`, `suspect`, `ineligible`, `abstained`, ..."),
            column("reason", TEXT, "why there is no label, or a suspect one"),
            column("kind", TEXT, "on what it fires: `token`, `position` or `context`"),
            column("unassigned", F32, "share of the examples that are in no sense"),
            column("example_set", TEXT, "SHA-256 of the examples it rests on"),
            column("held_out", list_of(I16), "examples that nobody who words it sees"),
            CREATED,
        ),
    ),
    DumpTable(
        "origins",
        "What a language model was asked about a feature, and what it answered.",
        (
            *_OF_LABELING,
            column("shown", list_of(I16), "positions of the examples that were shown"),
            column(
                "contrasts",
                list_of(pa.struct([("context", I64), ("token", I64)])),
                "silent passages that were shown: context and middle token",
            ),
            column("prompt_sha256", TEXT, "of the request"),
            column("model_reported", TEXT, "the model that answered, as it says"),
            column("system_fingerprint", TEXT, "what the server says of itself"),
            column("finish_reason", TEXT, "why the answer ended"),
            column("attempts", I16, "how often it was asked"),
            column("latency_ms", I32, "how long the answer took"),
            column("tokens_in", I32, "tokens read"),
            column("tokens_cached", I32, "of these from a cache"),
            column("tokens_out", I32, "tokens written"),
            column("error_class", TEXT, "why there is no answer"),
            column("raw_response", TEXT, "the answer as it came"),
        ),
    ),
    DumpTable(
        "senses",
        "Clusters of a feature's examples that mean one thing.",
        (
            *_OF_LABELING,
            column("ordinal", I16, "0 is the largest"),
            column("share", F64, "share of the examples"),
            column("keywords", list_of(TEXT), "words that stand out"),
            column("members", list_of(I16), "positions of its examples"),
            column("medoid", I16, "position of the most typical one"),
            column("representatives", list_of(I16), "positions that who words it sees"),
            column("held_out", list_of(I16), "positions of unseen ones"),
            column("silhouette", F32, "how well it stands apart"),
        ),
    ),
    DumpTable(
        "labels",
        "Everything that was ever said of a feature or its senses.",
        (
            _LABEL,
            *FEATURE,
            column("labeling", I32, "number of the labeling that said it"),
            column("sense_labeling", I32, "number of the labeling whose sense it words"),
            column("sense", I16, "ordinal of that sense; none: the whole feature"),
            column("also", list_of(I16), "further senses that it words"),
            column("text", TEXT, "the wording"),
            column("description", TEXT, "a longer one"),
            column("kind", TEXT, "on what it fires"),
            column("confidence", F32, "what the labeler says of its own label"),
            column("source", TEXT, "`keywords`, `llm`, `person` or `import`"),
            column("status", TEXT, "`ok`, `suspect`, or `gone` with what it worded"),
            column("method", TEXT, "the method, or the model asked for"),
            column("author", TEXT, "who said it"),
            column("account", TEXT, "of a person who proposed it: whose it is", since=2),
            column("n_examples", I16, "examples it was made from"),
            column("share", F32, "share of the examples that are in its senses"),
            column("provenance", TEXT, "where else it comes from, JSON"),
            column("supersedes", I64, "number of the label that it came after"),
            column("current", BOOL, "whether it is the wording in force"),
            CREATED,
        ),
    ),
    DumpTable(
        "choices",
        "That a label became the one in force, by whom and why.",
        (
            _LABEL,
            column("chosen_by", TEXT, "who or what chose it"),
            column("reason", TEXT, "why"),
            CREATED,
        ),
    ),
    DumpTable(
        "scores",
        "Measured qualities of labels, each beside its null.",
        (
            _LABEL,
            column("scorer", TEXT, "what was measured"),
            column("scorer_version", TEXT, "version of the scorer"),
            column("judge", TEXT, "the model that judged"),
            *(
                column(name, I32, about)
                for name, about in (
                    ("n_pos", "examples that were judged"),
                    ("n_neg_random", "texts drawn at random"),
                    ("n_neg_hard", "texts that resemble the examples"),
                    ("n_failed", "answers that could not be read"),
                    ("tp", "true positives"),
                    ("fp", "false positives"),
                    ("tn", "true negatives"),
                    ("fn", "false negatives"),
                )
            ),
            column("value", F64, "the score"),
            column("ci_low", F64, "its interval from"),
            column("ci_high", F64, "its interval to"),
            column("null_value", F64, "what other features' labels score"),
            column("f1", F64, "harmonic mean of precision and recall"),
            column("held_out_sha256", TEXT, "over the windows that were judged"),
            column("tokens_in", I32, "tokens that the judge read"),
            column("tokens_out", I32, "tokens that it wrote"),
            column("run", I32, "number of the run whose examples were judged"),
            column("details", TEXT, "everything else, JSON"),
            CREATED,
        ),
    ),
)
