import fcntl
from pathlib import Path

import hub_server
from scopebook.hub import Hub, download_release

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"


def half_of(served: hub_server.Hub, hub: Hub, content: bytes) -> Path:
    """Leave what an earlier process would have left of layer 12; return its path."""
    [layer] = download_release(RELEASE, [12], hub=hub).layers
    blob = layer.path.resolve()
    layer.path.unlink()
    blob.unlink()
    half = blob.with_name(f"{blob.name}.half")
    half.write_bytes(content)
    served.seen.clear()
    return half


def arrived(served: hub_server.Hub, hub: Hub) -> bool:
    [layer] = download_release(RELEASE, [12], hub=hub).layers
    return layer.path.read_bytes() == (served.root / RELEASE / "layer12.sae.pt").read_bytes()


def test_a_half_file_that_is_already_whole_is_not_fetched_again(
    served: hub_server.Hub, hub: Hub
) -> None:
    half_of(served, hub, (served.root / RELEASE / "layer12.sae.pt").read_bytes())

    assert arrived(served, hub)
    assert served.downloads("layer12.sae.pt") == []


def test_a_half_file_longer_than_the_whole_starts_again(served: hub_server.Hub, hub: Hub) -> None:
    half_of(served, hub, b"x" * 3_000_000)

    assert arrived(served, hub)
    assert [request.first_byte for request in served.downloads("layer12.sae.pt")] == [0]


def test_a_half_file_that_another_process_writes_is_left_to_it(
    served: hub_server.Hub, hub: Hub
) -> None:
    with half_of(served, hub, b"theirs").open("ab") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)

        assert arrived(served, hub)

    assert [path.read_bytes() for path in hub.cache.rglob("*.half")] == [b"theirs"]
