import numpy as np

from scopebook_workers.labeling.region_names import LONGEST, name_regions
from scopebook_workers.labeling.regions import Places, part


def piles(count: int, each: int, *, seed: int = 0) -> tuple[Places, np.ndarray]:
    """Return points in `count` piles on a square lattice, and to which each belongs."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    at = np.stack(np.divmod(np.arange(count), side), axis=1) * (1.6 / side) - 0.7
    of_point = np.repeat(np.arange(count), each)
    places = at[of_point] + rng.normal(scale=0.1 / side, size=(len(of_point), 2))
    return places.astype(np.float32), of_point


def test_piles_that_lie_apart_are_regions() -> None:
    places, truth = piles(9, 120)

    regions = part(places)

    assert len(regions.sizes) == 9
    pairs = {*zip(regions.of_point.tolist(), truth.tolist(), strict=True)}
    assert len(pairs) == 9


def test_a_large_map_has_more_regions_than_a_small_one_and_none_has_too_many() -> None:
    small, _ = piles(100, 10)
    large, _ = piles(100, 2_000)

    assert len(part(small).sizes) <= 15
    assert 40 <= len(part(large).sizes) <= 60


def test_regions_come_by_size_and_take_in_every_point() -> None:
    rng = np.random.default_rng(1)
    places = np.clip(rng.normal(scale=0.3, size=(3_000, 2)), -1, 1).astype(np.float32)

    regions = part(places)

    assert regions.sizes.tolist() == np.bincount(regions.of_point).tolist()
    assert regions.sizes.tolist() == sorted(regions.sizes.tolist(), reverse=True)
    assert regions.sizes.sum() == 3_000
    assert regions.centres.shape == (len(regions.sizes), 2)


def test_a_handful_of_points_is_no_region_of_its_own() -> None:
    places, _ = piles(4, 500)
    places = np.concatenate([places, np.full((2, 2), 0.98, np.float32)])

    assert len(part(places).sizes) == 4


def test_no_points_have_no_regions_and_one_point_has_one() -> None:
    assert part(np.empty((0, 2), np.float32)).sizes.tolist() == []
    assert part(np.zeros((1, 2), np.float32)).sizes.tolist() == [1]


TEXTS = {
    "German": ["German text: Datei, werden", "German text: Datei, nicht", "the token Datei"],
    "law": ["Legal License terms", "License and copyright", "copyright law"],
    "汉": ["Chinese text: 文件", "文件系统", "系统文件"],
}


def planted() -> tuple[list[str], np.ndarray]:
    texts = [text for group in TEXTS.values() for text in group]
    return texts, np.repeat(np.arange(len(TEXTS)), 3)


def test_a_region_is_called_by_what_its_labels_share_and_others_lack() -> None:
    german, law, chinese = name_regions(*planted(), 3)

    assert german.split(", ")[0] == "Datei"
    assert {"License", "copyright"} <= {*law.split(", ")}
    assert "文件" in chinese


def test_the_words_that_frame_a_label_name_no_region() -> None:
    names = name_regions(*planted(), 3)

    said = {word.casefold() for name in names for word in name.split(", ")}
    assert not said & {"text", "the", "token", "and"}


def test_regions_of_the_same_words_have_different_names() -> None:
    texts = ["legal terms"] * 12
    names = name_regions(texts, np.repeat(np.arange(4), 3), 4)

    assert len({*names}) == 4
    assert all(len(name) <= LONGEST + 8 for name in names)


def test_labels_without_words_have_a_named_region_too() -> None:
    [name] = name_regions(["…", "!?"], np.zeros(2, np.int64), 1)

    assert name


def test_the_same_labels_give_the_same_names() -> None:
    texts, of_text = planted()

    assert name_regions(texts, of_text, 3) == name_regions(texts, of_text, 3)
