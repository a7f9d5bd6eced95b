import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

import hub_server
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.hub import Hub, download_release

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"


def test_one_layer_arrives_with_its_commit_and_its_hash(served: hub_server.Hub, hub: Hub) -> None:
    source = served.root / RELEASE / "layer12.sae.pt"

    got = download_release(RELEASE, [12], hub=hub)

    [layer] = got.layers
    assert (got.source, got.name.k, layer.layer) == (RELEASE, 50, 12)
    assert got.revision == served.commit(RELEASE)
    assert layer.path.read_bytes() == source.read_bytes()
    assert layer.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert served.downloads("layer11.sae.pt") == []


def test_all_layers_come_when_none_is_named(hub: Hub) -> None:
    got = download_release(RELEASE, hub=hub)

    assert [layer.layer for layer in got.layers] == [11, 12]


def test_the_owner_of_a_published_release_need_not_be_written(hub: Hub) -> None:
    got = download_release("SAE-Res-Qwen3.5-2B-Base-W32K-L0_50", [12], hub=hub)

    assert got.source == RELEASE


def test_the_licence_and_the_caution_of_the_card_come_along(hub: Hub) -> None:
    card = download_release(RELEASE, [12], hub=hub).card

    assert card.licence == "qwen"
    assert card.caution.startswith("## Caution")
    assert "spread harmful information" in card.caution
    assert "Citation" not in card.caution
    assert card.licence_text == "The licence of a tiny release.\n"


def test_a_second_download_asks_for_no_file_again(served: hub_server.Hub, hub: Hub) -> None:
    download_release(RELEASE, [12], hub=hub)
    served.seen.clear()

    download_release(RELEASE, [12], hub=hub)

    assert [request.path for request in served.seen] == [f"/api/models/{RELEASE}"]


def test_a_new_commit_fetches_only_what_changed(
    served: hub_server.Hub, hub: Hub, add_layer: Callable[[int], Path]
) -> None:
    before = download_release(RELEASE, [12], hub=hub)
    add_layer(13)

    after = download_release(RELEASE, [12, 13], hub=hub)

    assert before.revision != after.revision
    assert len(served.downloads("layer12.sae.pt")) == 1
    assert len(served.downloads("layer13.sae.pt")) == 1


def test_a_pinned_commit_stays_what_it_was(served: hub_server.Hub, hub: Hub) -> None:
    commit = served.commit(RELEASE)

    got = download_release(RELEASE, [12], revision=commit, hub=hub)

    assert got.revision == commit


def test_progress_counts_every_byte_once(
    served: hub_server.Hub, hub: Hub, small_chunks: None
) -> None:
    seen: list[tuple[int, int]] = []

    download_release(RELEASE, hub=hub, progress=lambda done, total: seen.append((done, total)))

    total = sum(path.stat().st_size for path in served.files(RELEASE))
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 100


def test_progress_starts_at_what_is_here_already(hub: Hub) -> None:
    download_release(RELEASE, hub=hub)
    seen: list[tuple[int, int]] = []

    download_release(RELEASE, hub=hub, progress=lambda done, total: seen.append((done, total)))

    assert {done for done, _ in seen} == {seen[0][1]}


def test_a_dropped_connection_is_taken_up_where_it_broke(
    served: hub_server.Hub, hub: Hub, small_chunks: None
) -> None:
    served.cuts["layer12.sae.pt"] = [300_000, 400_000]

    [layer] = download_release(RELEASE, [12], hub=hub).layers

    firsts = [request.first_byte for request in served.downloads("layer12.sae.pt")]
    assert firsts[0] == 0
    assert 0 < firsts[1] <= 300_000 < firsts[2] <= 700_000
    assert layer.path.read_bytes() == (served.root / RELEASE / "layer12.sae.pt").read_bytes()


def test_a_download_that_was_given_up_goes_on_with_the_next_command(
    served: hub_server.Hub, hub: Hub, small_chunks: None
) -> None:
    served.cuts["layer12.sae.pt"] = [500_000] + [0] * 5
    with pytest.raises(UnavailableError, match=r"broke off while layer12.sae.pt"):
        download_release(RELEASE, [12], hub=hub)
    served.seen.clear()

    [layer] = download_release(RELEASE, [12], hub=hub).layers

    [again] = served.downloads("layer12.sae.pt")
    assert again.first_byte > 400_000
    assert layer.path.read_bytes() == (served.root / RELEASE / "layer12.sae.pt").read_bytes()
    assert not list(hub.cache.rglob("*.half"))


def test_a_half_file_that_was_damaged_is_not_built_upon(
    served: hub_server.Hub, hub: Hub, small_chunks: None
) -> None:
    served.cuts["layer12.sae.pt"] = [500_000] + [0] * 5
    with pytest.raises(UnavailableError):
        download_release(RELEASE, [12], hub=hub)
    [half] = hub.cache.rglob("*.half")
    half.write_bytes(b"\0" * half.stat().st_size)

    with pytest.raises(UnavailableError, match="was damaged while it was fetched: try again"):
        download_release(RELEASE, [12], hub=hub)

    [layer] = download_release(RELEASE, [12], hub=hub).layers
    assert layer.path.read_bytes() == (served.root / RELEASE / "layer12.sae.pt").read_bytes()


def test_what_does_not_fit_is_refused_before_the_first_byte(
    served: hub_server.Hub, hub: Hub
) -> None:
    served.stated_sizes["layer12.sae.pt"] = 10**15

    with pytest.raises(UnavailableError, match=r"needs 1000.0 TB but .+ free: free space"):
        download_release(RELEASE, [12], hub=hub)

    assert [request.path for request in served.seen] == [f"/api/models/{RELEASE}"]


def test_a_layer_that_is_not_published_is_refused_with_those_that_are(hub: Hub) -> None:
    with pytest.raises(NotFoundError, match=r"has no layer5.sae.pt: choose among its layers 11-12"):
        download_release(RELEASE, [5, 12], hub=hub)


def test_a_folder_is_used_where_it_lies(served: hub_server.Hub, hub: Hub) -> None:
    folder = served.root / RELEASE

    got = download_release(str(folder), [11], hub=hub)

    assert (got.source, got.revision) == (str(folder), None)
    assert [layer.path for layer in got.layers] == [folder / "layer11.sae.pt"]
    assert got.card.licence == "qwen"
    assert served.seen == []


def test_a_layer_missing_in_a_folder_is_refused(served: hub_server.Hub) -> None:
    with pytest.raises(NotFoundError, match=r"has no layer3.sae.pt: choose among its layers 11-12"):
        download_release(str(served.root / RELEASE), [3])


def test_a_folder_without_saes_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "SAE-Res-Tiny-W64-L0_4"
    folder.mkdir()

    with pytest.raises(NotFoundError, match="holds no SAE: expected files such as"):
        download_release(str(folder))


@pytest.mark.parametrize("path", ["/nowhere/{}", "./{}", "../x/{}", "~/nowhere/{}"])
def test_a_folder_that_does_not_exist_is_refused(path: str) -> None:
    with pytest.raises(NotFoundError, match=r"the folder .+ does not exist"):
        download_release(path.format("SAE-Res-Tiny-W64-L0_4"))


@pytest.mark.parametrize(
    ("release", "sentence"),
    [
        ("Qwen/Qwen3.5-2B-Base", "is not the name of a Qwen-Scope release"),
        ("SAE-Res-Tiny-W64-L0_4", "neither a folder here nor a published release"),
        ("a/b/SAE-Res-Tiny-W64-L0_4", "is not a repository id"),
        ("-bad-/SAE-Res-Tiny-W64-L0_4", "is not a repository id"),
    ],
)
def test_a_name_that_means_nothing_is_refused(hub: Hub, release: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        download_release(release, [0], hub=hub)


@pytest.mark.parametrize("revision", ["../../etc", "a b", "", "-x"])
def test_a_revision_that_is_none_is_refused(hub: Hub, revision: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a revision"):
        download_release(RELEASE, [12], revision=revision, hub=hub)
