"""Tables of a dump that hold what people with accounts said: for readers, since accounts stay."""

from typing import Final

from scopebook.interchange.columns import BOOL, I16, I32, I64, TEXT, WHEN, DumpTable, derived

_FEATURE: Final = (
    derived("feature", TEXT, "the feature's id, `model/layer-set/index`"),
    derived("release", TEXT, "name of the release"),
    derived("layer", I16, "layer of the SAE"),
    derived("index", I32, "number of the feature in its SAE"),
)
_BY: Final = derived("account", TEXT, "name of the account that said it")
_CREATED: Final = derived("created_at", WHEN, "when it was said")

PEOPLE: Final = (
    DumpTable(
        "reviews",
        "Verdicts on labels; a person's newest one on a label stands.",
        (
            *_FEATURE,
            derived("label", I64, "number of the label"),
            derived("text", TEXT, "its wording"),
            _BY,
            derived("verdict", TEXT, "`accept`, `reject`, `unsure` or `withdrawn`"),
            derived("reason", TEXT, "why"),
            derived("counts", BOOL, "whether it can put the label in force"),
            _CREATED,
        ),
    ),
    DumpTable(
        "comments",
        "Discussions of features, every version of every comment.",
        (
            *_FEATURE,
            derived("comment", I32, "number of the comment in its layer"),
            derived("number", I32, "its version"),
            derived("text", TEXT, "what it said; none: it was taken away"),
            _BY,
            _CREATED,
        ),
    ),
    DumpTable(
        "tags",
        "Words of the team's vocabulary that features have.",
        (
            *_FEATURE,
            derived("tag", TEXT, "the word"),
            derived("description", TEXT, "what the team means by it"),
            derived("retired_at", WHEN, "since when it is offered no more"),
            _BY,
            _CREATED,
        ),
    ),
)
