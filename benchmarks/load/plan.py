"""What people do, drawn from a seed: which search, whose page, what is said of which feature."""

import json
import random
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.search.build import RELEASE, Size
from benchmarks.search.queries import SCOPES, questions
from benchmarks.search.texts import ASPECTS, SUBJECTS
from sqlalchemy import create_engine, text

from scopebook.demo import bundle_path
from scopebook.search_filters import Filters

#: What of a hundred arrivals does what.
SHARES: Final = {"search": 50, "page": 35, "annotate": 10, "inspect": 5}
#: People who annotate at once; each has a token of an account.
PEOPLE: Final = 8

_MODEL: Final = "Bench-Model"
_INSPECTED: Final = "Scopebook-Demo-4M-Base"
_PARAMETERS: Final = {"layers": "layer", "sources": "source", "scripts": "script"} | {
    "authors": "author"
}
_SAID: Final = ("comments", "comments", "reviews", "proposals")

#: Features that nobody has written to, with their labels in force.
_LABELLED: Final = """
SELECT m.name || '/' || s.layer || '-' || r.set_name || '/' || f.index AS feature, l.id AS label
FROM label l TABLESAMPLE SYSTEM (:percent) REPEATABLE (:seed)
JOIN feature f ON f.id = l.feature_id
JOIN sae s ON s.id = l.sae_id JOIN release r ON r.id = s.release_id
JOIN model m ON m.id = r.model_id
WHERE l.current AND l.sense_id IS NULL AND l.status = 'ok' AND r.name = :release
"""


def labelled(database_url: str, *, seed: int, percent: float = 2.0) -> list[tuple[str, int]]:
    """Return some features with their labels in force, in a random order."""
    engine = create_engine(database_url)
    asked = {"percent": percent, "seed": seed, "release": RELEASE}
    with engine.connect() as connection:
        found = [(row.feature, row.label) for row in connection.execute(text(_LABELLED), asked)]
    engine.dispose()
    random.Random(seed).shuffle(found)
    return found


def actions(targets: list[tuple[str, int]], *, seed: int, size: Size) -> Iterator[dict[str, Any]]:
    """Yield what people do, one after the other, for as long as there are features to write to."""
    dice = random.Random(seed)
    left = iter(targets)
    drawn = {
        "search": lambda: next(searches),
        "page": lambda: {"path": _address(f"{_MODEL}/{_place(dice, size)}")},
        "annotate": lambda: _annotation(dice, *next(left)),
        "inspect": lambda: {"body": {"model": _INSPECTED, "text": dice.choice(texts)}},
    }
    searches = _searches(dice)
    texts = _texts()
    while True:
        [kind] = dice.choices([*SHARES], [*SHARES.values()])
        try:
            yield {"kind": kind, "who": dice.randrange(PEOPLE), **drawn[kind]()}
        except StopIteration:
            return


def _place(dice: random.Random, size: Size) -> str:
    return f"{dice.randrange(size.layers)}-res-w32k-l0_50/{dice.randrange(size.width)}"


def _address(feature: str) -> str:
    return f"/api/features/{feature}"


def _searches(dice: random.Random) -> Iterator[dict[str, Any]]:
    """Yield searches: half of them repeat one of a hundred questions, and half have a filter."""
    asked = questions(100_000, seed=dice.randrange(2**31))
    often, fresh = asked[:100], iter(asked[100:])
    scopes = [scope for name, scope in SCOPES.items() if name != "no filter"]
    while True:
        question = dice.choice(often) if dice.random() < 0.5 else next(fresh)
        scope = dice.choice(scopes) if dice.random() < 0.5 else Filters()
        yield {"path": _search(question, scope)}


def _search(question: str, scope: Filters) -> str:
    given = [
        (_PARAMETERS.get(one.name, one.name), value)
        for one in fields(scope)
        if (value := getattr(scope, one.name)) not in (None, ())
    ]
    asked = [("q", question), ("limit", 20), ("preview", "true"), *given]
    return "/api/search?" + urlencode(asked, doseq=True)


def _annotation(dice: random.Random, feature: str, label: int) -> dict[str, Any]:
    what = dice.choice(_SAID)
    words = f"{dice.choice(ASPECTS)} {dice.choice(SUBJECTS)}"
    body = {
        "comments": {"text": f"Fires on {words} here, and not on anything else."},
        "reviews": {"label_id": label, "verdict": "accept"},
        "proposals": {"text": f"{words}, as people word it"},
    }[what]
    key = f"load-{dice.getrandbits(64):x}"
    return {"path": _address(feature), "what": what, "body": body, "key": key}


def _texts() -> list[str]:
    """Return beginnings of the demo corpus, of about fifty words at most."""
    [corpus] = (bundle_path() / "corpus").glob("*.jsonl")
    with corpus.open() as lines:
        return [json.loads(line)["text"][:300] for line, _ in zip(lines, range(500), strict=False)]
