"""Count the demo's features of known domain whose label names that domain.

usage: python -m benchmarks.labels.demo_domains DATA_DIR

DATA_DIR is where `scopebook demo --data-dir DATA_DIR` was run. Which domain a feature stands for
was measured when the demo model was made, on documents by domain: `pure_features` of the bundle's
evaluation, at least 0.8 of whose strong activations lie in one domain.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from sqlalchemy import select

from scopebook.db.label_tables import Label, Sense
from scopebook.db.sessions import sessions_for
from scopebook.db.tables import Feature, Sae
from scopebook.demo import bundle_path
from scopebook.embedded.connection import connect
from scopebook.settings import Settings

#: What a label must say of a domain, where that is not the domain's name.
SAID: Final = {
    "Changelog": r"\bchangelog",
    "Perl manuals": r"\bPerl\b",
    "C": r"\bC code\b",
    "Russian": r"\b(?:Russian|Cyrillic)\b",
    "English manuals": r"\bEnglish\b",
}


def domains() -> dict[tuple[int, int], str]:
    """Return the domain of each (layer, feature) that has one."""
    found = json.loads((bundle_path() / "evaluation.json").read_text())
    return {
        (int(layer), int(index)): said["concept"]
        for layer, measured in found["layers"].items()
        for index, said in measured["pure_features"].items()
    }


def labels(data_dir: Path) -> tuple[dict[tuple[int, int], str], int]:
    """Return the label in force of each (layer, feature), and how many have several senses."""
    in_force = (
        select(Sae.layer, Feature.index, Label.text)
        .join(Feature, Feature.sae_id == Sae.id)
        .join(Label, Label.feature_id == Feature.id)
        .where(Label.current, Label.sense_id.is_(None))
    )
    with (
        connect(Settings(data_dir=data_dir), work=False) as connection,
        sessions_for(connection.database_url)() as session,
    ):
        found = {(layer, index): text for layer, index, text in session.execute(in_force)}
        several = set(session.scalars(select(Sense.feature_id).where(Sense.ordinal == 1)))
    return found, len(several)


def main() -> None:
    """Print the count, by domain, and the labels that name another."""
    found, several = labels(Path(sys.argv[1]))
    named: Counter[str] = Counter()
    wrong: list[str] = []
    known = domains()
    for (layer, index), domain in sorted(known.items()):
        text = found.get((layer, index), "")
        if re.search(SAID.get(domain, rf"\b{domain}\b"), text):
            named[domain] += 1
        else:
            wrong.append(f"layer {layer}, feature {index}, {domain}: {text}")
    every = Counter(known.values())
    sys.stdout.write(f"{named.total()} of {every.total()} features are named by their domain\n")
    sys.stdout.write(f"{several} of {len(found)} features have several senses\n")
    for domain, count in every.most_common():
        sys.stdout.write(f"  {domain}: {named[domain]} of {count}\n")
    sys.stdout.writelines(f"not named: {line}\n" for line in wrong)


if __name__ == "__main__":
    main()
