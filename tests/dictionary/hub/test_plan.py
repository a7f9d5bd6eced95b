from pathlib import Path

import pytest

import hub_server
from scopebook.errors import HubError, InvalidInputError, NotFoundError, UnavailableError
from scopebook.hub import Hub, check_free_space, download_release, plan_download
from scopebook.release_names import published_releases

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"


def test_a_published_release_is_planned_without_any_network() -> None:
    plan = plan_download(RELEASE, [12], ask_hub=False)

    assert plan.download_bytes == 4 * (2 * 2048 * 32768 + 32768 + 2048)
    assert plan.disk_bytes == 2 * plan.download_bytes
    assert [file.name for file in plan.files] == ["layer12.sae.pt"]
    assert (plan.base_model, plan.revision, plan.exact) == ("Qwen/Qwen3.5-2B-Base", None, False)


def test_the_plan_says_disk_and_memory_in_one_sentence() -> None:
    plan = plan_download("SAE-Res-Qwen3.5-27B-W80K-L0_100", [30, 31], ask_hub=False)

    assert str(plan) == (
        "Qwen/SAE-Res-Qwen3.5-27B-W80K-L0_100, layers 30-31: about 6.7 GB to download, "
        "about 13.4 GB on disk with the converted copy, 3.5 GB of memory to convert, "
        "about 69.9 GB of memory to run beside Qwen/Qwen3.5-27B."
    )


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("SAE-Res-Qwen3-1.7B-Base-W32K-L0_50", 15.0),
        ("SAE-Res-Qwen3-30B-A3B-Base-W128K-L0_100", 103.1),
        ("SAE-Res-Qwen3.5-9B-Base-W64K-L0_50", 68.7),
        ("SAE-Res-Qwen3.5-27B-W80K-L0_50", 214.8),
    ],
)
def test_a_whole_release_is_as_large_as_published(name: str, gigabytes: float) -> None:
    plan = plan_download(name, ask_hub=False)

    assert plan.download_bytes / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_every_published_release_has_a_plan_with_its_model() -> None:
    plans = [plan_download(release.repo_id, ask_hub=False) for release in published_releases()]

    assert all(plan.run_bytes > plan.model_bytes > 2 * 10**9 for plan in plans)
    assert sum(len(plan.files) for plan in plans) == 544


def test_a_layer_beyond_a_published_release_is_refused_without_network() -> None:
    with pytest.raises(InvalidInputError, match="has no layer 24: expected 0 to 23"):
        plan_download(RELEASE, [3, 24], ask_hub=False)


def test_the_hub_makes_a_plan_exact_and_nothing_is_fetched(
    served: hub_server.Hub, hub: Hub
) -> None:
    plan = plan_download(RELEASE, hub=hub)

    true_size = sum(p.stat().st_size for p in served.files(RELEASE) if p.suffix == ".pt")
    assert (plan.download_bytes, plan.exact) == (true_size, True)
    assert plan.revision == served.commit(RELEASE)
    assert [request.path for request in served.seen] == [f"/api/models/{RELEASE}"]
    assert not hub.cache.exists()


def test_what_is_here_already_is_not_counted_as_download(hub: Hub) -> None:
    download_release(RELEASE, [11], hub=hub)

    plan = plan_download(RELEASE, hub=hub)

    assert [file.here for file in plan.files] == [True, False]
    assert plan.download_bytes == plan.files[1].size_bytes
    assert plan.converted_bytes == sum(file.size_bytes for file in plan.files)


def test_a_hub_that_cannot_be_reached_leaves_the_computed_sizes(tmp_path: Path) -> None:
    plan = plan_download(RELEASE, [12], hub=Hub("http://127.0.0.1:9", cache_dir=tmp_path))

    assert not plan.exact


def test_a_cache_with_other_layers_leaves_the_computed_sizes(hub: Hub) -> None:
    download_release(RELEASE, [11], hub=hub)

    plan = plan_download(
        RELEASE, [20], hub=Hub(hub.endpoint, cache_dir=hub.cache_dir, offline=True)
    )

    assert not plan.exact


def test_an_unknown_release_cannot_be_planned_without_the_hub(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="cannot be reached"):
        plan_download("me/SAE-Res-Tiny-W64-L0_4", hub=Hub("http://127.0.0.1:9", cache_dir=tmp_path))
    with pytest.raises(HubError, match="not among the published releases"):
        plan_download("me/SAE-Res-Tiny-W64-L0_4", ask_hub=False)


def test_a_release_that_the_hub_has_not_is_not_planned_from_the_table(
    served: hub_server.Hub, hub: Hub
) -> None:
    with pytest.raises(NotFoundError, match="does not exist at"):
        plan_download("Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_100", hub=hub)


def test_a_folder_needs_only_its_converted_copy(served: hub_server.Hub) -> None:
    plan = plan_download(str(served.root / RELEASE), [12])

    assert plan.download_bytes == 0
    assert plan.disk_bytes == plan.files[0].size_bytes
    assert "nothing to download" in str(plan)


def test_a_disk_without_room_is_refused_with_both_numbers(tmp_path: Path) -> None:
    check_free_space(tmp_path / "not" / "yet", 1, "it")

    with pytest.raises(UnavailableError, match=r"it needs 1000.0 TB but .+ has .+ free"):
        check_free_space(tmp_path / "not" / "yet", 10**15, "it")
