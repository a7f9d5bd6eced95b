import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.full_disk import files_limited_to

import hub_server
from scopebook.errors import HubError, NotFoundError, ScopebookError
from scopebook.hub import Hub, download_release

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"
TOKEN = "hf_a_secret_that_nobody_may_see"

DOWNLOAD = """
import sys
from scopebook.errors import ScopebookError
from scopebook.hub import download_release
try:
    got = download_release(sys.argv[1], [12])
    print(got.revision, got.layers[0].path)
except ScopebookError as error:
    print(type(error).__name__, error)
"""

# Dies by SIGKILL as soon as half a megabyte is on the disk.
DOWNLOAD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from huggingface_hub import constants
from scopebook.hub import Hub, download_release
constants.DOWNLOAD_CHUNK_SIZE = 16_384
constants.HF_HUB_OFFLINE = False
constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_XET = True

def die_late(done, total):
    if done > 500_000:
        os.kill(os.getpid(), signal.SIGKILL)

hub = Hub(endpoint=sys.argv[2], cache_dir=Path(sys.argv[3]))
download_release(sys.argv[1], [12], hub=hub, progress=die_late)
"""


def download_in_another_process(tmp_path: Path, **environment: str) -> str:
    """Download as a command would, with Hugging Face's own variables; return all it printed."""
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, RELEASE],
        env={
            "PATH": os.environ["PATH"],
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def refusal(hub: Hub, kind: type[ScopebookError], release: str = RELEASE) -> str:
    with pytest.raises(kind) as refused:
        download_release(release, [12], hub=hub)
    sentence = str(refused.value)
    assert type(refused.value) is kind
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert TOKEN not in sentence
    return sentence


def test_endpoint_and_token_of_the_environment_are_honoured_and_never_shown(
    served: hub_server.Hub, tmp_path: Path
) -> None:
    served.private[RELEASE] = TOKEN

    output = download_in_another_process(tmp_path, HF_ENDPOINT=served.url, HF_TOKEN=TOKEN)

    assert served.commit(RELEASE) in output
    assert str(tmp_path / "home" / "hub") in output
    assert TOKEN not in output
    assert {r.token for r in served.seen if r.path.startswith(f"/{RELEASE}")} == {TOKEN}


def test_offline_mode_uses_what_is_here_and_asks_nobody(
    served: hub_server.Hub, tmp_path: Path
) -> None:
    online = download_in_another_process(tmp_path, HF_ENDPOINT=served.url)
    served.seen.clear()

    offline = download_in_another_process(tmp_path, HF_ENDPOINT=served.url, HF_HUB_OFFLINE="1")

    assert offline == online
    assert served.seen == []


def test_the_token_is_not_sent_to_the_host_that_stores_the_files(
    served: hub_server.Hub, hub: Hub
) -> None:
    served.private[RELEASE] = TOKEN

    download_release(RELEASE, [12], hub=Hub(hub.endpoint, TOKEN, hub.cache_dir))

    assert {r.token for r in served.seen if r.path.startswith("/cdn/")} == {None}
    assert {r.token for r in served.seen if not r.path.startswith("/cdn/")} == {TOKEN}


def test_a_hub_never_shows_its_token() -> None:
    assert TOKEN not in repr(Hub(token=TOKEN))


def test_offline_without_the_files_is_one_sentence(hub: Hub) -> None:
    sentence = refusal(Hub(hub.endpoint, cache_dir=hub.cache_dir, offline=True), HubError)

    assert "is not in the local cache and the hub is switched off: unset HF_HUB_OFFLINE" in sentence


def test_offline_with_another_layer_only_names_the_missing_one(hub: Hub) -> None:
    download_release(RELEASE, [11], hub=hub)

    sentence = refusal(Hub(hub.endpoint, cache_dir=hub.cache_dir, offline=True), HubError)

    assert sentence.startswith(f"layer12.sae.pt of {RELEASE} is not in the local cache")


def test_a_port_where_nobody_listens_is_refused_at_once(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}"

    sentence = refusal(Hub(url, cache_dir=tmp_path), HubError)

    assert sentence.startswith(f"{url} cannot be reached for {RELEASE}: set HF_ENDPOINT")
    assert "local folder" in sentence


def test_a_hub_that_is_down_does_not_hide_what_is_here(served: hub_server.Hub, hub: Hub) -> None:
    before = download_release(RELEASE, [12], hub=hub)
    gone = Hub(f"http://127.0.0.1:{closed_port()}", cache_dir=hub.cache_dir)

    after = download_release(RELEASE, [12], hub=gone)

    assert (after.revision, after.layers[0].path) == (before.revision, before.layers[0].path)


def test_a_password_in_the_endpoint_is_not_repeated(tmp_path: Path) -> None:
    url = f"http://me:{TOKEN}@127.0.0.1:{closed_port()}"

    assert "http://127.0.0.1:" in refusal(Hub(url, cache_dir=tmp_path), HubError)


def test_an_endpoint_that_is_no_address_is_refused(tmp_path: Path) -> None:
    assert "cannot be reached" in refusal(Hub("hub.example", cache_dir=tmp_path), HubError)


def test_a_repository_that_does_not_exist_is_not_found(hub: Hub) -> None:
    sentence = refusal(hub, NotFoundError, "Qwen/SAE-Res-Tiny-W64-L0_4")

    assert "Qwen/SAE-Res-Tiny-W64-L0_4 does not exist at" in sentence
    assert "HF_TOKEN" in sentence


def test_a_private_repository_asks_for_a_token(served: hub_server.Hub, hub: Hub) -> None:
    served.private[RELEASE] = TOKEN

    assert f"does not let you read {RELEASE} (401): set HF_TOKEN" in refusal(hub, HubError)


@pytest.mark.parametrize("token", [None, "hf_of_somebody_else"])
def test_a_gated_repository_asks_to_accept_its_terms(
    served: hub_server.Hub, hub: Hub, token: str | None
) -> None:
    served.gated[RELEASE] = TOKEN

    sentence = refusal(Hub(hub.endpoint, token, hub.cache_dir), HubError)

    assert f"is gated: accept its terms at {served.url}/{RELEASE} and set HF_TOKEN" in sentence


def test_a_gated_repository_opens_with_its_token(served: hub_server.Hub, hub: Hub) -> None:
    served.gated[RELEASE] = TOKEN

    got = download_release(RELEASE, [12], hub=Hub(hub.endpoint, TOKEN, hub.cache_dir))

    assert got.layers[0].size_bytes > 0


def test_an_unknown_revision_is_not_found(hub: Hub) -> None:
    with pytest.raises(NotFoundError, match="has no such revision"):
        download_release(RELEASE, [12], revision="v9", hub=hub)


def test_a_file_that_the_listing_promised_but_the_hub_has_not(
    served: hub_server.Hub, hub: Hub
) -> None:
    served.broken[f"/{RELEASE}/resolve"] = 404

    assert f"has no LICENSE of {RELEASE}: check the name" in refusal(hub, NotFoundError)


def test_a_layer_that_breaks_while_it_is_asked_for_is_named(
    served: hub_server.Hub, hub: Hub
) -> None:
    served.broken[f"/{RELEASE}/resolve/{served.commit(RELEASE)}/layer12.sae.pt"] = 503

    assert f"answered 503 for layer12.sae.pt of {RELEASE}" in refusal(hub, HubError)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(403, "does not let you read"), (429, "slow down"), (500, "answered 500"), (503, "try later")],
)
def test_a_hub_in_trouble_is_one_sentence(
    served: hub_server.Hub, hub: Hub, status: int, sentence: str
) -> None:
    served.broken["/api/models"] = status

    assert sentence in refusal(hub, HubError)


def test_a_server_that_is_no_hub_is_one_sentence(served: hub_server.Hub, hub: Hub) -> None:
    served.broken["/api/models"] = 200

    assert "did not answer as a Hugging Face hub" in refusal(hub, HubError)


def test_a_connection_that_never_recovers_says_how_to_go_on(
    served: hub_server.Hub, hub: Hub
) -> None:
    served.cuts["layer12.sae.pt"] = [1000] * 20

    sentence = refusal(hub, HubError)

    assert "broke off while layer12.sae.pt" in sentence
    assert "run the same command again" in sentence


def test_a_disk_that_fills_up_on_the_way_is_one_sentence(hub: Hub) -> None:
    with files_limited_to(300_000):
        sentence = refusal(hub, HubError)

    assert "the disk is full while layer12.sae.pt of" in sentence
    assert download_release(RELEASE, [12], hub=hub).layers[0].size_bytes > 300_000


def test_a_cache_that_cannot_be_written_is_one_sentence(
    served: hub_server.Hub, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()

    sentence = refusal(Hub(served.url, cache_dir=tmp_path / "a file" / "cache"), HubError)

    assert "could not be downloaded" in sentence


def test_a_download_killed_in_the_middle_goes_on_where_it_was(
    served: hub_server.Hub, hub: Hub
) -> None:
    arguments = [RELEASE, str(hub.endpoint), str(hub.cache)]

    killed = subprocess.run([sys.executable, "-c", DOWNLOAD_AND_DIE, *arguments], check=False)

    assert killed.returncode == -signal.SIGKILL
    served.seen.clear()
    [layer] = download_release(RELEASE, [12], hub=hub).layers
    [again] = served.downloads("layer12.sae.pt")
    assert again.first_byte > 400_000
    assert layer.path.read_bytes() == (served.root / RELEASE / "layer12.sae.pt").read_bytes()
