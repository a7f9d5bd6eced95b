"""The commands: a dump goes into an empty data folder, is found there, and comes out the same."""

import json
from pathlib import Path

import pytest

from running import run
from scopebook.interchange.manifest import read_manifest


def test_a_dump_goes_into_an_empty_folder_is_found_by_meaning_and_comes_out_the_same(
    dump: Path, tmp_path: Path
) -> None:
    data = tmp_path / "instance"

    came_in = run(data, "import", "parquet", str(dump), "--json")
    found = run(data, "search", "a cat that naps", "--json")
    went_out = run(data, "export", "parquet", str(tmp_path / "again"), "--json")

    assert came_in.returncode == 0, came_in.stderr
    report = json.loads(came_in.stdout)
    assert (report["equal"], report["refused"]) == (True, 0)
    assert found.returncode == 0, found.stderr
    assert "sleeping cats" in found.stdout
    assert went_out.returncode == 0, went_out.stderr
    expected = read_manifest(dump)[0].content_sha256
    assert json.loads(went_out.stdout)["content_sha256"] == expected


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("import", "parquet", "{empty}"), 2, "holds no manifest.json"),
        (("import", "neuronpedia", "{empty}"), 2, "holds no source of Neuronpedia's layout"),
        (("export", "parquet", "{full}"), 1, "is there already; choose another path"),
        (("export", "neuronpedia", "{new}", "--release", "none"), 2, "There is no release 'none'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    database_url: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes").touch()
    places = {name: str(tmp_path / name) for name in ("empty", "full", "new")}

    done = run(
        tmp_path / "instance",
        *(argument.format(**places) for argument in arguments),
        SCOPEBOOK_DATABASE_URL=database_url,
        SCOPEBOOK_BROKER_URL="redis://127.0.0.1:1",
    )

    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
