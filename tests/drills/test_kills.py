"""Twenty kills in one run, and it ends with the dictionary of a run that nobody disturbed.

`make drill` runs it longer: `DRILL_KILLS` kills over `DRILL_TEXTS` texts, at moments drawn from
`DRILL_SEED`, which it prints.
"""

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.drills.hurt import (
    CORPUS,
    LAYERS,
    RELEASE,
    WIDTH,
    HurtInstance,
    hurt_instance,
    write_files,
)
from tests.drills.workers import PATIENCE_S
from tests.tiny_collections import do_all_steps

from scopebook.corpora import add_corpus
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.fingerprint import Fingerprint, fingerprint
from scopebook.jobs import ADD_RELEASE
from scopebook.registration import request_release
from scopebook.runs import request_collection
from scopebook_workers.claims import work_off

KILLS = int(os.environ.get("DRILL_KILLS", "20"))
TEXTS = int(os.environ.get("DRILL_TEXTS", "700"))
SEED = int(os.environ.get("DRILL_SEED", "1"))
#: How often each kind of process is hit in twenty kills.
VICTIMS = {
    "pool process": 5,
    "worker": 3,
    "broker": 3,
    "backend": 3,
    "postmaster": 3,
    "everything": 3,
}
#: The kills spread over this part of the run, so that none of them comes too late.
LAST_SHARE = 0.8


def plan(rng: random.Random) -> list[tuple[float, float, str]]:
    """Return for each kill the share of the run it waits for, a delay in seconds and a victim."""
    victims = [name for name, times in VICTIMS.items() for _ in range(times)]
    chosen = [victims[i % len(victims)] for i in range(KILLS)]
    rng.shuffle(chosen)
    shares = sorted(rng.uniform(0.0, LAST_SHARE) for _ in chosen)
    return [
        (share, rng.uniform(0.0, 0.5), name) for share, name in zip(shares, chosen, strict=True)
    ]


def collect_in_peace(worker: Sessions, files: Path) -> Fingerprint:
    """Register and collect the same in this process, step after step, in shards of usual size."""
    with unit_of_work(worker) as session:
        add_corpus(session, CORPUS, files / "texts.jsonl")
        request_release(session, str(files / RELEASE), model=str(files / "Tiny-Model"))
    work_off(ADD_RELEASE)
    with unit_of_work(worker) as session:
        request_collection(session, RELEASE, CORPUS, label=False)
    do_all_steps()
    with unit_of_work(worker) as session:
        return fingerprint(session, RELEASE)


def kill_again_and_again(hurt: HurtInstance, rng: random.Random) -> list[str]:
    """Kill as planned; return the victims of the kills that hit while the run was unfinished."""
    killed = []
    for share, delay_s, victim in plan(rng):
        standing = hurt.wait_until(
            lambda now, share=share: now.shards > 0 and now.share >= share, within_s=PATIENCE_S
        )
        assert not standing.over, f"{standing} after {len(killed)} kills:\n{hurt.running.log()}"
        time.sleep(delay_s)
        while not hurt.kill_one(victim, rng):
            time.sleep(0.05)  # it is being started again
        # A run that is seen unfinished after the kill was unfinished when it hit.
        after = hurt.wait_until(lambda now: True, within_s=PATIENCE_S)
        if not after.over:
            killed.append(victim)
    return killed


def test_twenty_kills_leave_the_dictionary_of_an_undisturbed_run(
    worker: Sessions, tmp_path: Path
) -> None:
    write_files(tmp_path, texts=TEXTS)
    wanted = collect_in_peace(worker, tmp_path)

    with hurt_instance(tmp_path) as hurt:
        killed = kill_again_and_again(hurt, random.Random(SEED))
        end = hurt.wait_until(lambda now: False, within_s=2 * PATIENCE_S)
        found, states, files = hurt.fingerprint(), hurt.states(), hurt.files()
        evidence = hurt.evidence()

    sys.stderr.write(
        f"seed {SEED}: {len(killed)} kills over {end.shards} shards: {dict(Counter(killed))}\n"
    )
    assert (end.state, end.done) == ("done", end.shards)
    assert len(killed) >= KILLS, killed
    assert set(killed) == set(VICTIMS), Counter(killed)
    assert evidence == len(LAYERS) * WIDTH
    # No shard's result, no half-written file and nothing of a killed worker is left over.
    assert files == states
    assert len(states) == len(LAYERS)
    assert {int(layer): digest for layer, digest in found["layers"].items()} == wanted.layers
    assert found["fingerprint"] == wanted.fingerprint
