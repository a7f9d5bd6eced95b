"""A scan's report as one HTML file: no script, no request, readable in light and dark.

Everything that comes from outside is escaped; a policy in the file forbids whatever would be left.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scopebook.scan_plots import bars, clean, forest, short
from scopebook.scan_style import STYLE

_PLOTTED: Final = 20
_LISTED: Final = 50
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_Row = Mapping[str, Any]


def scan_html(scan: _Row) -> str:
    """Return the page of a scan as `scopebook.scan_reports.read_scan` tells it."""
    found = scan["summary"]
    title = f"Scan of {scan['dataset']}"
    sections = (
        _facts(scan),
        _conditions(found),
        _texts(found),
        _features(found),
        _concepts(found),
        _coverage(found),
        _compared(found),
        _languages(found),
        _near_empty(found),
        _flagged(found),
        _reading(found),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{clean(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{clean(title)}</h1>{''.join(sections)}</main></body></html>\n"
    )


def _facts(scan: _Row) -> str:
    found = scan["summary"]
    corpora = sorted({f"{one['corpus']} (run {one['run']})" for one in found["references"]})
    hashes = "; ".join(f"layer {one['layer']}: {one['sae_sha256']}" for one in found["references"])
    chosen = found["parameters"]
    rows = [
        ("Release", found["release"]),
        ("Model", found["model"]),
        ("Held against", ", ".join(corpora)),
        ("Text", f"{found['documents']:,} documents, {found['tokens']:,} tokens that count"),
        ("Done", f"{str(scan['finished_at'])[:16]} UTC, as scan {scan['id']}"),
        (
            "Parameters",
            f"layers {', '.join(map(str, chosen['layers']))}; false discovery rate "
            f"{chosen['fdr']:g}; tokens longer than {chosen['sink_factor']:g} times the median "
            "and first positions masked",
        ),
        ("SHA-256 of the SAEs", hashes),
    ]
    caution = f'<p class="caution">{clean(found["caution"])}</p>' if found["caution"] else ""
    facts = "".join(f"<dt>{clean(name)}</dt><dd>{clean(value)}</dd>" for name, value in rows)
    return f"{caution}<dl>{facts}</dl>"


def _conditions(found: _Row) -> str:
    if not found["conditions"]:
        return ""
    items = "".join(
        f'<li class="{"failed" if one["failed"] else "passed"}"><strong>'
        f"{'Failed' if one['failed'] else 'Passed'}</strong>: fail if "
        f"<code>{clean(one['condition'])}</code>. {clean(one['sentence'])}</li>"
        for one in found["conditions"]
    )
    return f'<section><h2>Conditions</h2><ul class="conditions">{items}</ul></section>'


def _texts(found: _Row) -> str:
    if len(found["parts"]) < 2:
        return ""
    return _section(
        "Parts",
        "",
        _table(
            ("Part", "Documents", "Tokens", "Empty", "Near-empty"),
            ((one["name"], *(f"{one[name]:,}" for name in _OF_PART)) for one in found["parts"]),
        ),
    )


_OF_PART: Final = ("documents", "tokens", "empty", "near_empty")


def _features(found: _Row) -> str:
    note = (
        f"Of {found['tested']:,} features with enough firings, {found['over_total']:,} fire more "
        f"often than in the reference and {found['under_total']:,} less often. Ranked by the bound "
        "of the 95 % interval that is nearest to no difference."
    )
    return _section(
        "Features",
        note,
        _plot(found["over"], "More often than in the reference"),
        _feature_table(found["over"], passages=True),
        _plot(found["under"], "Less often than in the reference"),
        _feature_table(found["under"]),
    )


def _plot(rows: Sequence[_Row], caption: str) -> str:
    return forest(
        [(_named(row), row["log2"], row["low"], row["high"]) for row in rows[:_PLOTTED]],
        f"{caption}: ratio of rates with its 95 % interval",
    )


def _named(row: _Row) -> str:
    """Return a row's label, with the feature's place in its model behind it."""
    place = str(row.get("feature") or "").rsplit("/", 2)[1:]
    label = str(row.get("label") or "")
    if not place:
        return label
    layer = place[0].split("-", 1)[0]
    return f"{short(label, 38)} ({layer}/{place[1]})" if label else "/".join(place)


def _feature_table(rows: Sequence[_Row], *, passages: bool = False) -> str:
    if not rows:
        return "<p>None.</p>"
    heads = ("Label", "Feature", "Ratio (95 % interval)", "FDR", "Documents", "Rate", "Reference")
    body = []
    for row in rows[:_LISTED]:
        cells = (
            row["label"] or "(no label)",
            row["feature"],
            _ratio(row),
            "" if row["fdr"] is None else f"{row['fdr']:.2g}",
            f"{row['documents']:,} ({row['share']:.1%})",
            f"{row['rate']:.3%}",
            f"{row['other_rate']:.3%}",
        )
        body.append(_cells(cells))
        if passages and row["examples"]:
            body.append(
                f'<tr class="under-row"><td colspan="{len(heads)}">{_passages(row)}</td></tr>'
            )
    more = len(rows) - _LISTED
    rest = f"<p>And {more:,} more in the table of all features.</p>" if more > 0 else ""
    return _table(heads, (), "".join(body)) + rest


def _passages(row: _Row) -> str:
    items = "".join(
        f"<li><q><bdi>{clean(one['before'])}<mark>{clean(one['peak'])}</mark>"
        f"{clean(one['after'])}</bdi></q> <cite>{clean(one['document'])}</cite></li>"
        for one in row["examples"]
    )
    return f"<details><summary>Where it fires most</summary><ul>{items}</ul></details>"


def _ratio(row: _Row) -> str:
    factor, low, high = (2.0 ** row[name] for name in ("log2", "low", "high"))
    return f"\u00d7{factor:.3g} ({low:.3g} to {high:.3g})"


def _concepts(found: _Row) -> str:
    rows = [*found["concepts_over"][:_PLOTTED], *found["concepts_under"][:_PLOTTED]]
    if not rows:
        return ""
    table = _table(
        ("Concept", "Features", "Ratio (95 % interval)", "FDR", "Documents at least"),
        (
            (
                row["label"],
                f"{row['count']:,}",
                _ratio(row),
                "" if row["fdr"] is None else f"{row['fdr']:.2g}",
                f"{row['documents']:,} ({row['share']:.1%})",
            )
            for row in rows
        ),
    )
    note = "Features of one label text, taken together."
    return _section("Labelled concepts", note, _plot(rows, "Concepts"), table)


def _coverage(found: _Row) -> str:
    covered = found["coverage"]
    if covered is None:
        return ""
    note = (
        f"{covered['documents']:,} of {found['documents']:,} documents ({covered['share']:.1%}) "
        f"fire a feature of the list {covered['name']}."
    )
    rows = [
        (_named(row), row["share"], f"{row['share']:.1%} ({row['documents']:,})")
        for row in covered["features"][:_LISTED]
    ]
    return _section("Coverage", note, bars(rows, "Share of the documents that fire a feature"))


def _compared(found: _Row) -> str:
    sections = []
    for one in found["compared"]:
        title = f"{one['one']} beside {one['other']}"
        note = (
            f"Of {one['tested']:,} features, {one['over_total']:,} fire more often in "
            f"{one['one']} and {one['under_total']:,} in {one['other']}."
        )
        rows = [*one["over"][: _PLOTTED // 2], *one["under"][: _PLOTTED // 2]]
        sections.append(
            _section(title, note, _plot(rows, f"{one['one']} divided by {one['other']}"))
        )
    return "".join(sections)


def _languages(found: _Row) -> str:
    if not found["languages"]:
        return ""
    note = (
        "A guess: each feature that fires in a document speaks for the languages in whose texts it "
        "fires more often than usual in the reference. Languages that the reference does not hold "
        f"are not told, and {found['languages_unknown']:,} documents speak for none."
    )
    rows = [
        (row["language"], row["share"], f"{row['share']:.1%} ({row['documents']:,})")
        for row in found["languages"]
    ]
    return _section("Languages", note, bars(rows, "Share of the documents by language"))


def _near_empty(found: _Row) -> str:
    total = sum(part["near_empty"] for part in found["parts"])
    if not total:
        return ""
    note = (
        f"In {total:,} documents next to nothing fires but features that fire on any text; "
        f"{sum(part['empty'] for part in found['parts']):,} of them have no token that counts."
    )
    rows = (
        (row["document"], row["part"], f"{row['tokens']:,}", f"{row['informative']:.1%}")
        for row in found["near_empty"][:_LISTED]
    )
    heads = ("Document", "Part", "Tokens", "Telling firings")
    return _section("Near-empty documents", note, _table(heads, rows))


def _flagged(found: _Row) -> str:
    if not found["flagged"]:
        return ""
    sinks = ", ".join(f"layer {layer}: {count:,}" for layer, count in found["sinks"].items())
    note = (
        f"{found['flagged_total']:,} features that the reference calls dense, bound to a position "
        f"or to parked attention are left out of the ranking. Sinks that were masked: {sinks}."
    )
    rows = (
        (
            row["label"] or "(no label)",
            row["feature"],
            ", ".join(row["flags"]),
            f"{row['rate']:.2%}",
            f"{row['other_rate']:.2%}",
        )
        for row in found["flagged"][:_PLOTTED]
    )
    heads = ("Label", "Feature", "Flags", "Rate", "Reference")
    return _section("Left out of the ranking", note, _table(heads, rows))


def _reading(found: _Row) -> str:
    return _section(
        "How to read this",
        "A rate is the share of tokens that fire a feature. Its interval takes documents, and in "
        "the reference contexts, as independent of each other; the false discovery rate is that "
        "of Benjamini and Hochberg over all tested features. A label is a wording of what fires a "
        "feature: it may be wrong. A text of another length, form or origin than the reference "
        "differs in many features that have nothing to do with its subject.",
    )


def _section(title: str, note: str, *inside: str) -> str:
    words = f"<p>{clean(note)}</p>" if note else ""
    return f"<section><h2>{clean(title)}</h2>{words}{''.join(inside)}</section>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], body: str = "") -> str:
    head = "".join(f'<th scope="col">{clean(one)}</th>' for one in heads)
    inside = body or "".join(_cells(row) for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{inside}</tbody></table></div>"
    )


def _cells(row: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<td><bdi>{clean(cell)}</bdi></td>' for cell in row)}</tr>"
