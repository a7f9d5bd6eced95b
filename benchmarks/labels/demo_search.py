"""Search the demo for its domains, and count the features that were measured to be of them.

usage: SCOPEBOOK_DATA_DIR=DATA_DIR python -m benchmarks.labels.demo_search

DATA_DIR is where `scopebook demo --data-dir DATA_DIR` was run. A hit counts if nearly all its
activation lies in the domain (see `benchmarks.labels.demo_domains`): features of many domains do
not, though some of their senses may be right.
"""

import sys
from collections import Counter
from typing import Final

from benchmarks.labels.demo_domains import domains

from scopebook.db.sessions import sessions_for
from scopebook.embedded.connection import connect
from scopebook.embedding import query_embedder
from scopebook.release_names import parse_feature_id
from scopebook.search import search_features
from scopebook.settings import settings

HITS: Final = 10
#: What is searched for, and the domain that is meant.
QUERIES: Final = {
    "Russian": "Russian",
    "Russian text": "Russian",
    "текст на русском": "Russian",
    "Japanese text": "Japanese",
    "Spanish": "Spanish",
    "Chinese": "Chinese",
    "Chinese text": "Chinese",
    "German": "German",
    "text in German": "German",
    "French text": "French",
    "changelog entries": "Changelog",
    "shell scripts": "Shell",
    "Bible verses": "Bible",
    "scripture": "Bible",
    "Python code": "Python",
    "C code": "C",
    "Perl": "Perl manuals",
}


def main() -> None:
    """Print for each query how many of the first ten hits are of the domain, and the mean."""
    known = domains()
    counts = Counter(known.values())
    shares = []
    with connect(settings(), work=False) as connection:
        factory = sessions_for(connection.database_url)
        embed = query_embedder(factory)
        for query, domain in QUERIES.items():
            with factory() as session:
                hits = search_features(session, query, embed=embed, limit=HITS).items
            named = [parse_feature_id(hit.id, any_index=True) for hit in hits]
            right = sum(known.get((one.layer, one.index)) == domain for one in named)
            most = min(HITS, counts[domain])
            shares.append(right / most)
            sys.stdout.write(f"{query}: {right} of {most}\n")
    sys.stdout.write(f"mean share: {sum(shares) / len(shares):.2f}\n")


if __name__ == "__main__":
    main()
