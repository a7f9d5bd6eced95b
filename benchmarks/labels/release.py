"""Word some thousand features, and hold what was told before the first call to the bill of all.

usage: python -m benchmarks.labels.release [--features N] [--counts wordpiece|bpe] [--tokenizes]

The features are planted, the language model is a stub that counts with a real tokenizer; all goes
through the step and a database of its own. `--tokenizes` lets the stub offer /tokenize.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.labels.cost import byte_pairs, wordpiece
from benchmarks.labels.planted_dictionary import (
    ask_for_words,
    outcomes_by_feature,
    plant_features,
    say_keywords,
    throwaway_database,
)
from benchmarks.labels.stubs.faults import StubServer
from sqlalchemy import select

from scopebook.db.label_tables import Labeling
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.jobs import WORD_SAE
from scopebook_workers.claims import work_off
from scopebook_workers.tasks import word  # noqa: F401 - its imports are not the labels' time


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what was told and what was counted."""
    parser = argparse.ArgumentParser(prog="benchmarks.labels.release", description=__doc__)
    parser.add_argument("--features", type=int, default=3_000)
    parser.add_argument("--counts", choices=("wordpiece", "bpe"), default="wordpiece")
    parser.add_argument("--tokenizes", action="store_true")
    given = parser.parse_args(arguments)
    count = wordpiece() if given.counts == "wordpiece" else byte_pairs()
    with (
        throwaway_database(),
        StubServer(say_keywords, count=count, tokenizes=given.tokenizes) as server,
    ):
        with unit_of_work(sessions()) as session:
            sae, run = plant_features(session, given.features)
            ask_for_words(session, sae, run, server.url, parallel=64)
        began = time.perf_counter()
        work_off(WORD_SAE)
        took = time.perf_counter() - began
        with sessions()() as session:
            parameters = session.scalars(
                select(Labeling.parameters).where(Labeling.source == "llm")
            ).one()
        once = sum(times == 1 for times in outcomes_by_feature(sessions()).values())
        bill = server.counts()
    told = parameters["guess"]
    sys.stdout.write(
        f"counted by {parameters['counted_by']}; {once:,} of {given.features:,} features have one "
        f"outcome; {took:.0f} s with the stub in this process\n"
    )
    for name in ("tokens_in", "tokens_cached", "tokens_out"):
        before, after = told[name], getattr(bill, name)
        sys.stdout.write(f"{name}: told {before:,}, counted {after:,}: {before / after - 1:+.1%}\n")
    before, after = told["tokens_in"] + told["tokens_out"], bill.tokens_in + bill.tokens_out
    sys.stdout.write(f"together: told {before:,}, counted {after:,}: {before / after - 1:+.1%}\n")


if __name__ == "__main__":
    main()
