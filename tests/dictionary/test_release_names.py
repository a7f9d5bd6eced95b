import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopebook.errors import InvalidInputError
from scopebook.release_names import (
    FeatureId,
    parse_feature_id,
    parse_layers,
    parse_release_name,
    published_release,
    published_releases,
)


def test_a_repo_id_says_model_width_k_and_set() -> None:
    name = parse_release_name("Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50")

    assert name.name == "SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"
    assert name.base_model == "Qwen/Qwen3.5-2B-Base"
    assert (name.width, name.k) == (32 * 1024, 50)
    assert name.set_name == "res-w32k-l0_50"


@pytest.mark.parametrize(
    "release",
    [
        "SAE-Res-Scopebook-Demo-4M-Base-W1K-L0_8",
        "/data/releases/SAE-Res-Scopebook-Demo-4M-Base-W1K-L0_8",
        "./SAE-Res-Scopebook-Demo-4M-Base-W1K-L0_8/",
        " someone/SAE-Res-Scopebook-Demo-4M-Base-W1K-L0_8 ",
    ],
)
def test_a_folder_and_a_path_mean_what_the_bare_name_means(release: str) -> None:
    name = parse_release_name(release)

    assert name.base_model == "Scopebook-Demo-4M-Base"
    assert (name.width, name.k, name.set_name) == (1024, 8, "res-w1k-l0_8")


def test_a_width_without_k_counts_single_features() -> None:
    name = parse_release_name("SAE-Res-Tiny-W64-L0_4")

    assert (name.width, name.set_name) == (64, "res-w64-l0_4")


def test_a_copy_of_a_published_release_keeps_its_exact_base_model() -> None:
    name = parse_release_name("/mnt/models/SAE-Res-Qwen3.5-27B-W80K-L0_100")

    assert name.base_model == "Qwen/Qwen3.5-27B"
    assert name.width == 81920


@pytest.mark.parametrize(
    "release",
    [
        "",
        "/",
        "..",
        "Qwen/Qwen3.5-2B-Base",
        "SAE-Res-Qwen3.5-2B-Base",
        "SAE-Res-Qwen3.5-2B-Base-W32K",
        "SAE-Res-W32K-L0_50",
        "SAE-Res-Qwen3.5-2B-Base-WxK-L0_50",
        "SAE-Res-Qwen3.5-2B-Base-W32K-L0_50/layer12.sae.pt",
        "SAE-Res-Qwen3.5-2B-Base-W32K-L0_50\n; rm -rf",
        "SAE-Res-Qwen-W٣٢K-L0_50",
        "🙂" * 5000,
    ],
)
def test_any_other_name_is_refused_with_the_expected_form(release: str) -> None:
    with pytest.raises(InvalidInputError, match=r"expected SAE-Res-<model>-W<width>K-L0_<k>") as e:
        parse_release_name(release)

    assert len(str(e.value)) < 400
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["SAE-Res-X-W1K-L0_0", "SAE-Res-X-W0K-L0_1", "SAE-Res-X-W8-L0_9"])
def test_more_active_features_than_there_are_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="active features of"):
        parse_release_name(name)


def test_the_fourteen_published_releases_agree_with_their_own_names() -> None:
    releases = published_releases()

    assert len({release.name for release in releases}) == 14
    assert sum(release.layer_count for release in releases) == 544
    for release in releases:
        name = parse_release_name(release.repo_id)
        assert (name.base_model, name.width, name.k) == (
            release.base_model,
            release.width,
            release.k,
        )


def test_only_published_names_have_known_facts() -> None:
    known = published_release("Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50")

    assert known is not None
    assert (known.layer_count, known.d_model) == (36, 4096)
    assert published_release("SAE-Res-Qwen3-30B-A3B-Base-W128K-L0_50") is None


def test_layers_are_sorted_and_named_once() -> None:
    assert parse_layers("20-23, 11,12,11", 24) == [11, 12, 20, 21, 22, 23]
    assert parse_layers("all", 3) == [0, 1, 2]
    assert parse_layers("7") == [7]


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("24", "layer 24 in '24' does not exist: expected 0 to 23"),
        ("5-3", "runs backwards: write 3-5"),
        ("", "is not a list of layers"),
        ("1,,2", "is not a list of layers"),
        ("-3", "is not a list of layers"),
        ("twelve", "is not a list of layers"),
        ("0-9999", "layer 9999"),
        ("1" * 10_000, "is not a list of layers"),
    ],
)
def test_layers_that_do_not_exist_are_refused(layers: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        parse_layers(layers, 24)


def test_all_layers_of_an_unknown_release_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="is not a list of layers"):
        parse_layers("all")


def test_a_feature_id_may_have_slashes_in_its_model() -> None:
    feature = parse_feature_id("model/with/slash/12-res-w32k-l0_50/6159")

    assert feature == FeatureId("model/with/slash", 12, "res-w32k-l0_50", 6159)
    assert feature.sae == "12-res-w32k-l0_50"


@pytest.mark.parametrize(
    "feature",
    [
        "6159",
        "12-res/6159",
        "/12-res/6159",
        "model/12/6159",
        "model/res-12/6159",
        "model/12-res/x",
        "model/12-res/-1",
        "model/12-res/",
        "model/12-res/99999999999",
        "model/12-res/1/extra",
        "m\n" * 6000,
    ],
)
def test_anything_else_is_not_a_feature_id(feature: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a feature id: expected <model>/"):
        parse_feature_id(feature)


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,20}(/[A-Za-z0-9._-]{1,20}){0,3}", fullmatch=True),
    st.integers(0, 9999),
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    st.integers(0, 999_999_999),
)
def test_every_feature_id_reads_back_as_itself(
    model: str, layer: int, set_name: str, index: int
) -> None:
    feature = FeatureId(model, layer, set_name, index)

    assert parse_feature_id(str(feature)) == feature
