"""What people do under load is drawn from a seed, in known shares, of each feature once."""

from collections import Counter
from itertools import islice

from benchmarks.load.plan import PEOPLE, SHARES, actions
from benchmarks.search.build import Size

SIZE = Size(layers=4, width=256)
N = 4000


def targets(n: int) -> list[tuple[str, int]]:
    return [(f"Bench-Model/0-res-w32k-l0_50/{index}", index) for index in range(n)]


def drawn(seed: int = 1, *, features: int = N) -> list[dict[str, object]]:
    return list(islice(actions(targets(features), seed=seed, size=SIZE), N))


def test_a_seed_draws_the_same_each_time_and_another_seed_something_else() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_kinds_come_in_their_shares_and_from_everybody() -> None:
    found = drawn()

    kinds = Counter(one["kind"] for one in found)
    assert set(kinds) == set(SHARES)
    for kind, share in SHARES.items():
        # Five standard deviations of as many draws.
        assert abs(kinds[kind] - N * share / 100) < 5 * (N * share / 100) ** 0.5, kind
    assert {one["who"] for one in found} == set(range(PEOPLE))


def test_no_feature_is_annotated_twice_and_no_key_is_used_twice() -> None:
    said = [one for one in drawn() if one["kind"] == "annotate"]

    assert len(said) > 300
    assert len({one["path"] for one in said}) == len(said)
    assert len({one["key"] for one in said}) == len(said)


def test_a_review_is_of_the_label_of_its_own_feature() -> None:
    reviews = [one for one in drawn() if one.get("what") == "reviews"]

    assert reviews
    for one in reviews:
        body, path = one["body"], one["path"]
        assert isinstance(body, dict)
        assert str(path).endswith(f"/{body['label_id']}")


def test_people_stop_coming_when_all_features_to_annotate_are_used_up() -> None:
    found = drawn(features=5)

    assert sum(one["kind"] == "annotate" for one in found) == 5
    assert len(found) < N
