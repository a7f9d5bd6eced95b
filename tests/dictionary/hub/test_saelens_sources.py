"""SAEs in SAELens's format are found in folders and in repositories."""

import json
from pathlib import Path

import pytest

import hub_server
from saelens_files import saelens_config, saelens_tensors, write_layers, write_saelens
from scopebook.errors import CheckpointError, InvalidInputError, NotFoundError, ScopebookError
from scopebook.hub import Hub, download_release, plan_download

REPO = "someone/Tiny_SAEs"
D_IN, D_SAE = 4, 32


@pytest.fixture
def repository(served: hub_server.Hub) -> Path:
    """A repository with a card and the layers 1 and 2, each in a folder two levels down."""
    folder = write_layers(served.root / REPO / "resid" / "width_32", [1, 2], D_IN, D_SAE)
    (served.root / REPO / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def test_a_folder_that_is_one_sae_is_a_release_of_one_layer(tmp_path: Path) -> None:
    folder = tmp_path / "My SAE, l12"
    weights = write_saelens(folder, saelens_config(D_IN, D_SAE, 12), saelens_tensors(D_IN, D_SAE))

    got = download_release(str(folder))

    [layer] = got.layers
    assert (layer.layer, layer.path, layer.sha256) == (12, weights, None)
    assert layer.config is not None
    assert (got.name.name, got.name.set_name) == ("My SAE, l12", "my-sae-l12")
    assert (got.name.width, got.name.k, got.name.base_model) == (D_SAE, None, None)


@pytest.mark.parametrize("inside", [".", "a", "a/b"])
def test_layers_lie_in_sub_folders_of_any_depth_up_to_three(tmp_path: Path, inside: str) -> None:
    write_layers(tmp_path / "set" / inside, [3, 1], D_IN, D_SAE)

    got = download_release(str(tmp_path / "set"))

    assert [layer.layer for layer in got.layers] == [1, 3]


def test_what_lies_deeper_is_not_looked_for(tmp_path: Path) -> None:
    write_layers(tmp_path / "set" / "a" / "b" / "c", [1], D_IN, D_SAE)

    with pytest.raises(InvalidInputError, match="holds no SAE of SAELens: give such a release"):
        download_release(str(tmp_path / "set"))


def test_only_the_wanted_layers_are_taken(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "set", [1, 2, 3], D_IN, D_SAE)

    assert [layer.layer for layer in download_release(str(folder), [3, 1]).layers] == [1, 3]
    with pytest.raises(NotFoundError, match=r"has no SAE of layer 7: choose among its .+ 1, 2, 3"):
        download_release(str(folder), [1, 7])


def test_two_saes_of_one_layer_are_refused_by_name_unless_others_are_wanted(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "set" / "small", [1, 2], D_IN, D_SAE).parent
    write_layers(folder / "large", [2], D_IN, 2 * D_SAE)

    with pytest.raises(InvalidInputError) as refused:
        download_release(str(folder), [2])

    assert "2 SAEs of layer 2, in 'large/blocks.2" in str(refused.value)
    assert "and in 'small/blocks.2" in str(refused.value)
    assert len(download_release(str(folder), [1]).layers) == 1
    assert download_release(str(folder / "large")).name.width == 2 * D_SAE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"d_sae": 2 * D_SAE}, r"differ in features \(32 and 64\)"),
        ({"d_in": 8}, r"differ in the model's width \(4 and 8\)"),
        ({"model_name": "a/b"}, r"differ in the model \(Tiny-Model and a/b\)"),
    ],
)
def test_saes_that_do_not_belong_together_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    folder = write_layers(tmp_path / "set", [1], D_IN, D_SAE)
    write_saelens(
        folder / "other", saelens_config(D_IN, D_SAE, 2, **changes), saelens_tensors(D_IN, D_SAE)
    )

    with pytest.raises(InvalidInputError, match=said):
        download_release(str(folder))


def test_saes_of_different_k_have_none_in_common(tmp_path: Path) -> None:
    for layer, k in ((1, 3), (2, 4)):
        write_saelens(
            tmp_path / "set" / str(layer),
            saelens_config(D_IN, D_SAE, layer, architecture="topk", k=k),
            saelens_tensors(D_IN, D_SAE),
        )

    assert download_release(str(tmp_path / "set")).name.k is None
    assert download_release(str(tmp_path / "set"), [2]).name.k == 4


def test_a_config_that_is_refused_counts_only_where_it_may_be_the_wanted_one(
    tmp_path: Path,
) -> None:
    folder = write_layers(tmp_path / "set", [1], D_IN, D_SAE)
    write_saelens(
        folder / "mlp",
        saelens_config(D_IN, D_SAE, hook_name="blocks.1.hook_mlp_out"),
        saelens_tensors(D_IN, D_SAE),
    )

    assert len(download_release(str(folder), [1]).layers) == 1
    for layers in (None, [1, 2]):
        with pytest.raises(CheckpointError, match=r"mlp/cfg.json: hook_name is"):
            download_release(str(folder), layers)


def test_half_of_an_sae_is_refused(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "set", [1, 2], D_IN, D_SAE)
    (folder / "blocks.2.hook_resid_post" / "cfg.json").unlink()
    with pytest.raises(CheckpointError, match=r"blocks.2.+safetensors has no cfg.json beside it"):
        download_release(str(folder))

    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    with pytest.raises(InvalidInputError, match=r"holds cfg.json but no sae_weights.safetensors"):
        download_release(str(folder))


def test_a_folder_without_a_letter_is_no_name(tmp_path: Path) -> None:
    write_layers(tmp_path / "中文", [1], D_IN, D_SAE)

    with pytest.raises(InvalidInputError, match="rename it with some of a-z and 0-9"):
        download_release(str(tmp_path / "中文"))


def test_the_files_of_a_folder_count_more_than_its_name(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "SAE-Res-Tiny-W1K-L0_4", [1], D_IN, D_SAE)

    assert download_release(str(folder)).layers[0].config is not None


@pytest.mark.parametrize(
    ("model_name", "base_model"),
    [
        ("Qwen/Qwen3-8B-Base", "Qwen/Qwen3-8B-Base"),
        ("google/gemma-2-2b", "google/gemma-2-2b"),
        ("qwen3-8b-base", "Qwen/Qwen3-8B-Base"),
        ("gpt2-small", None),
        ("/models/mine", None),
        ("../a/b", None),
        (None, None),
    ],
)
def test_the_model_is_known_if_the_config_names_a_hub_id(
    tmp_path: Path, model_name: str | None, base_model: str | None
) -> None:
    write_layers(tmp_path / "set", [1], D_IN, D_SAE, model_name=model_name)

    plan = plan_download(str(tmp_path / "set"))

    assert plan.base_model == base_model
    assert download_release(str(tmp_path / "set")).name.base_model == base_model


def test_a_folder_is_planned_by_the_shapes_it_states(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for layer, architecture in ((1, "standard"), (2, "jumprelu")):
        write_saelens(
            folder / str(layer),
            saelens_config(D_IN, D_SAE, layer, architecture=architecture),
            saelens_tensors(D_IN, D_SAE),
        )

    plan = plan_download(str(folder))

    assert plan.download_bytes == 0
    one = 4 * (2 * D_IN * D_SAE + D_IN + D_SAE)
    assert plan.converted_bytes == 2 * one + 4 * D_SAE
    assert "without the model" in str(plan)


def test_a_repository_brings_the_layers_that_are_wanted(
    served: hub_server.Hub, hub: Hub, repository: Path
) -> None:
    got = download_release(REPO, [2], hub=hub)

    [layer] = got.layers
    weights = repository / "blocks.2.hook_resid_post" / "sae_weights.safetensors"
    assert layer.path.read_bytes() == weights.read_bytes()
    assert layer.sha256 is not None
    assert (got.source, got.revision) == (REPO, served.commit(REPO))
    assert (got.name.name, got.name.set_name) == ("Tiny_SAEs", "tiny_saes")
    assert got.card.licence == "mit"
    assert len(served.downloads("sae_weights.safetensors")) == 1


def test_a_folder_of_a_repository_can_be_named(hub: Hub, repository: Path) -> None:
    got = download_release(f"{REPO}/resid/width_32", hub=hub)

    assert [layer.layer for layer in got.layers] == [1, 2]
    assert got.source == f"{REPO}/resid/width_32"
    assert got.name.set_name == "tiny_saes-resid-width_32"


def test_a_plan_of_a_repository_fetches_its_configs_alone(
    served: hub_server.Hub, hub: Hub, repository: Path
) -> None:
    plan = plan_download(REPO, [1], hub=hub)

    [file] = plan.files
    assert (file.layer, file.here, plan.exact) == (1, False, True)
    assert file.name == "resid/width_32/blocks.1.hook_resid_post/sae_weights.safetensors"
    assert plan.download_bytes == file.size_bytes
    assert served.downloads("sae_weights.safetensors") == []
    download_release(REPO, [1], hub=hub)
    assert plan_download(REPO, [1], hub=hub).download_bytes == 0


def test_what_was_fetched_is_used_without_the_hub(
    served: hub_server.Hub, hub: Hub, repository: Path
) -> None:
    before = download_release(REPO, hub=hub)

    got = download_release(REPO, hub=Hub(cache_dir=hub.cache_dir, offline=True))

    assert [layer.path for layer in got.layers] == [layer.path for layer in before.layers]


def test_a_config_of_absurd_size_is_not_fetched(
    served: hub_server.Hub, hub: Hub, repository: Path
) -> None:
    name = "resid/width_32/blocks.1.hook_resid_post/cfg.json"
    served.stated_sizes[name] = 10**9

    with pytest.raises(CheckpointError, match=r"has 1000000000 bytes: expected a file of a few"):
        plan_download(REPO, hub=hub)

    assert served.downloads("cfg.json") == []


def test_a_broken_config_in_a_repository_is_named(hub: Hub, repository: Path) -> None:
    (repository / "blocks.1.hook_resid_post" / "cfg.json").write_text(json.dumps([1]))

    with pytest.raises(CheckpointError, match=rf"^{REPO}/resid/.+blocks.1.+cfg.json holds a list"):
        download_release(REPO, hub=hub)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("someone/nothing", "does not exist at"),
        (f"{REPO}/nowhere", "holds no SAE of SAELens"),
        (f"{REPO}/../x", "is not a repository id"),
        (f"{REPO}//x", "is not a repository id"),
        ("Tiny_SAEs", "neither a folder here nor a published release"),
        ("Qwen/Qwen3.5-2B-Base", "is not the name of a Qwen-Scope release"),
    ],
)
def test_a_source_that_holds_none_is_refused(
    hub: Hub, repository: Path, source: str, said: str
) -> None:
    for ask in (download_release, plan_download):
        with pytest.raises(ScopebookError, match=said):
            ask(source, hub=hub)
