"""Tables of a dump that hold what people with accounts said and put together, by their names."""

from typing import Final

from scopebook.interchange.columns import (
    BOOL,
    CREATED,
    F64,
    FEATURE,
    I16,
    I32,
    I64,
    RUN,
    TEXT,
    WHEN,
    DumpColumn,
    DumpTable,
    column,
    derived,
    list_of,
)

#: Before it, people's words were in a dump for readers.
_SINCE: Final = 2
_BY: Final = column("account", TEXT, "who said it")
_REASON: Final = column("reason", TEXT, "why")
_COMMENT: Final = column("comment", I32, "number of the comment")
_LIST: Final = column("list", I32, "number of the list")
_BULK: Final = "number of the action on many features"


def _table(name: str, about: str, *columns: DumpColumn) -> DumpTable:
    return DumpTable(name, about, columns, since=_SINCE)


_SAID: Final = (
    _table(
        "reviews",
        "Verdicts on labels; a person's newest one on a label stands.",
        *FEATURE,
        column("label", I64, "number of the label"),
        derived("text", TEXT, "its wording"),
        _BY,
        column("verdict", TEXT, "`accept`, `reject`, `unsure` or `withdrawn`"),
        _REASON,
        column("counts", BOOL, "whether it can put the label in force"),
        CREATED,
    ),
    _table(
        "pins",
        "Labels that editors keep in force; the newest of a place holds.",
        *FEATURE,
        column("sense_labeling", I32, "number of the labeling whose sense it is for"),
        column("sense", I16, "ordinal of that sense; none: the whole feature"),
        column("label", I64, "number of the label; none: nothing is pinned any more"),
        _BY,
        _REASON,
        CREATED,
    ),
    _table(
        "groupings",
        "Which senses people have parted a run's examples into; the newest of a feature holds.",
        *FEATURE,
        RUN,
        column("labeling", I32, "number of the labeling by a person; none: the machine's senses"),
        _BY,
        CREATED,
    ),
    _table(
        "second_opinions",
        "Wishes for another person's verdict.",
        column("opinion", I32, "number of the wish"),
        *FEATURE,
        _BY,
        _REASON,
        CREATED,
        column("closed_at", WHEN, "when another gave a verdict, or it was taken back"),
    ),
    _table(
        "comments",
        "Contributions to the discussions of features.",
        _COMMENT,
        *FEATURE,
        _BY,
        column("mentions", list_of(TEXT), "whom it speaks to"),
        CREATED,
    ),
    _table(
        "comment_versions",
        "What comments said; the newest version is shown.",
        _COMMENT,
        *FEATURE,
        column("number", I32, "number of the version"),
        column("text", TEXT, "what it said; none: it was taken away"),
        _BY,
        CREATED,
    ),
    _table(
        "tags",
        "Words of the team's vocabulary that features have.",
        *FEATURE,
        column("tag", TEXT, "the word"),
        _BY,
        CREATED,
    ),
    _table(
        "marks",
        "Examples that people find off-meaning.",
        *FEATURE,
        RUN,
        column("context", I64, "number of the example's context"),
        column("position", I16, "its first place among the feature's examples"),
        _BY,
        CREATED,
    ),
)

_HISTORY: Final = (
    _table(
        "bulk_actions",
        "Single actions on many features; what they did to each stands in the history.",
        column("bulk", I32, _BULK),
        _BY,
        column("action", TEXT, "what was to be done, JSON"),
        CREATED,
        column("applied_at", WHEN, "when it was done"),
        column("undone_at", WHEN, "when it was undone"),
    ),
    _table(
        "history",
        "What people did to features, step by step.",
        *FEATURE,
        column("version", I64, "the feature's version since then"),
        _BY,
        column("kind", TEXT, "what was done; `undo`: an earlier step was"),
        column("slot", TEXT, "what it changed, e.g. `label:12`: by the dump's numbers and names"),
        column("rests", list_of(TEXT), "what it takes for granted besides"),
        column("before", TEXT, "what was before, JSON"),
        column("after", TEXT, "what was after, JSON"),
        _REASON,
        column("undoes", I64, "version of the step that it undoes"),
        column("bulk", I32, _BULK),
        CREATED,
    ),
)

_TEAM: Final = (
    _table(
        "vocabulary",
        "The team's words for tags, also those that no feature has.",
        column("name", TEXT, "the word"),
        column("description", TEXT, "what the team means by it"),
        column("retired_at", WHEN, "since when it is offered no more"),
        CREATED,
    ),
)

_LISTS: Final = (
    _table(
        "lists",
        "Lists of features, and searches that are kept.",
        _LIST,
        column("account", TEXT, "whose it is"),
        column("name", TEXT, "its name"),
        column("description", TEXT, "what it is for"),
        column("shared", BOOL, "whether others see it"),
        column("search", TEXT, "parameters of the search that it keeps, JSON"),
        column("version", I32, "counts changes of all but its features"),
        CREATED,
        column("changed_at", WHEN, "when it was changed last"),
    ),
    _table(
        "list_items",
        "The features of lists, in the order of their places.",
        _LIST,
        *FEATURE,
        column("place", F64, "its place; others may lie between two"),
        column("note", TEXT, "why it is in the list"),
        column("account", TEXT, "who put it there"),
        column("added_at", WHEN, "when"),
    ),
)

PEOPLE: Final = (*_TEAM, *_SAID, *_HISTORY, *_LISTS)
