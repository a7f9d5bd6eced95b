import json
from pathlib import Path

import pytest

import hub_server
from scopebook.errors import HubError, InvalidInputError, NotFoundError
from scopebook.hub import Hub, download_model

MODEL = "Qwen/Qwen3.5-2B-Base"


def test_a_model_comes_as_config_tokenizer_and_safetensors_only(
    served: hub_server.Hub, hub: Hub
) -> None:
    got = download_model(MODEL, hub=hub)

    assert got.revision == served.commit(MODEL)
    assert sorted(path.name for path in got.path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_progress_reaches_the_end(hub: Hub) -> None:
    seen: list[tuple[int, int]] = []

    download_model(MODEL, hub=hub, progress=lambda done, total: seen.append((done, total)))

    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_folder_is_used_where_it_lies(served: hub_server.Hub, hub: Hub) -> None:
    got = download_model(str(served.root / MODEL), hub=hub)

    assert (got.path, got.revision) == (served.root / MODEL, None)
    assert served.seen == []


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_model_that_lacks_a_part_is_refused_before_its_weights_are_fetched(
    served: hub_server.Hub, hub: Hub, name: str
) -> None:
    (served.root / MODEL / name).unlink()

    with pytest.raises(InvalidInputError, match=f"{MODEL} has no (config|tokenizer|model)"):
        download_model(MODEL, hub=hub)
    with pytest.raises(InvalidInputError, match=r"give a model with config\.json"):
        download_model(str(served.root / MODEL))

    assert len(served.seen) == 1


def test_a_model_without_one_of_its_shards_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model-00001-of-00002.safetensors"):
        (tmp_path / name).touch()
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))

    with pytest.raises(InvalidInputError, match=r"lacks model-00002-of-00002\.safetensors"):
        download_model(str(tmp_path))


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_is_none_is_refused(tmp_path: Path, index: str) -> None:
    for name in ("config.json", "tokenizer.json", "model-1.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(InvalidInputError, match="is not an index of safetensors"):
        download_model(str(tmp_path))


def test_a_model_offline_is_the_one_that_was_fetched(hub: Hub) -> None:
    before = download_model(MODEL, hub=hub)

    after = download_model(MODEL, hub=Hub(hub.endpoint, cache_dir=hub.cache_dir, offline=True))

    assert (after.path, after.revision) == (before.path, before.revision)


def test_a_model_that_was_never_fetched_is_refused_offline(hub: Hub) -> None:
    with pytest.raises(HubError, match="is not in the local cache"):
        download_model(MODEL, hub=Hub(hub.endpoint, cache_dir=hub.cache_dir, offline=True))


def test_a_model_that_does_not_exist_is_not_found(hub: Hub) -> None:
    with pytest.raises(NotFoundError, match="does not exist at"):
        download_model("Qwen/Nothing", hub=hub)


@pytest.mark.parametrize("model", ["x" * 5000, "a b", "a//b", "~nobody/of/this/name", "é/ü"])
def test_a_name_that_means_nothing_is_refused(hub: Hub, model: str) -> None:
    with pytest.raises((InvalidInputError, NotFoundError)) as refused:
        download_model(model, hub=hub)

    assert len(str(refused.value)) < 300
