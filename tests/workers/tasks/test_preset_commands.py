"""`scopebook preset` from saving to a bundle on disk, with a real model and a real database."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_collections import Tiny, ask_for_collection, do_all_steps, make_tiny
from typer.testing import CliRunner, Result

from scopebook.commands import preset_runs, preset_saving, presets
from scopebook.db.sessions import Sessions
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError, ScopebookError
from scopebook.jobs import EXPORT_PRESET, PRUNE_PRESET, TEST_PRESET
from scopebook_workers.claims import work_off

FEATURE = "Tiny-Model/1-res-w1k-l0_8/{}"
Command = Callable[..., Result]


@pytest.fixture
def tiny(worker: Sessions, tmp_path: Path) -> Tiny:
    made = make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    return made


@pytest.fixture
def command(worker: Sessions, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return `scopebook preset`, whose jobs are done in this process when it waits for them."""

    @contextmanager
    def here(*, work: bool = False) -> Iterator[Sessions]:
        yield worker

    watch = preset_runs.watch_job

    def work_and_watch(factory: Sessions, job_id: int) -> Any:
        for kind in (EXPORT_PRESET, TEST_PRESET, PRUNE_PRESET):
            work_off(kind)
        return watch(factory, job_id)

    for module in (presets, preset_saving, preset_runs):
        monkeypatch.setattr(module, "dictionary", here)
    monkeypatch.setattr(preset_runs, "watch_job", work_and_watch)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(presets.presets, arguments)

    return run


def refused(result: Result, kind: type[ScopebookError], sentence: str) -> None:
    assert isinstance(result.exception, kind), result.output
    assert sentence in str(result.exception)


def test_a_preset_is_saved_changed_approved_and_looked_at(command: Command) -> None:
    made = command(
        *("create", "water", "--add", f"{FEATURE.format(5)}=3", "--unit", "raw"),
        *("--group", "wet=0.5", "--description", "Says water.", "--json"),
    )
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["version"] == 1
    saved = command("save", "water", "--mute", FEATURE.format(7), "--note", "mute it instead")
    assert saved.exit_code == 0, saved.output
    assert command("approve", "water@1", "--note", "tried").exit_code == 0

    listed = json.loads(command("list", "--json").stdout)["items"]
    shown = json.loads(command("show", "water@1", "--json").stdout)
    changes = json.loads(command("diff", "water", "1", "2", "--json").stdout)["changes"]

    assert [(one["name"], one["version"], one["approved"]) for one in listed] == [("water", 2, 1)]
    assert shown["interventions"][0]["strength"]["absolute"] == 3.0
    assert shown["groups"] == [{"name": "wet", "strength": 0.5}]
    assert {one["what"]: one["after"] for one in changes} == {
        FEATURE.format(5): None,
        FEATURE.format(7): "ablate",
        "group wet": None,
    }
    assert "1-res-w1k-l0_8/7" in command("show", "water").stdout
    refused(command("save", "water", "--mute", FEATURE.format(7)), ConflictError, "says just this")
    refused(command("change", "water@1", "--archive"), InvalidInputError, "give 'water'")
    assert command("change", "water", "--name", "wet@9", "--archive").exit_code == 0
    assert json.loads(command("show", "wet@9", "--json").stdout)["version"] == 2


def test_a_bundle_lies_on_disk_whole_and_verifies_itself(
    command: Command, tiny: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command("create", "water", "--add", f"{FEATURE.format(5)}=3", "--unit", "raw")

    done = command(
        *("export", "water", "--target", "transformers", "--target", "gguf"),
        *("--out", str(out), "--json"),
    )

    assert done.exit_code == 0, done.output
    written = json.loads(done.stdout)["exports"]
    assert [Path(one["folder"]).name for one in written] == [
        "water-v1-transformers",
        "water-v1-gguf",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["water-v1-gguf", "water-v1-transformers"]
    proof = subprocess.run(
        [sys.executable, "verify.py", "--model", str(tiny.model_path)],
        cwd=written[0]["folder"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert proof.returncode == 0, proof.stdout + proof.stderr
    # Again: what is there is an export, and is replaced.
    assert command("export", "water", "--target", "gguf", "--out", str(out)).exit_code == 0
    (out / "water-v1-peft").mkdir()
    refused(
        command("export", "water", "--target", "peft", "--out", str(out)),
        InvalidInputError,
        "is there already and is no export of this preset",
    )
    assert list((out / "water-v1-peft").iterdir()) == []


def test_presets_whose_names_no_folder_can_have_keep_their_exports_apart(
    command: Command, tmp_path: Path
) -> None:
    for name in ("不要中文", "古典文"):
        command("create", name, "--add", f"{FEATURE.format(5)}=3", "--unit", "raw")
        done = command("export", name, "--target", "peft", "--out", str(tmp_path / "out"))
        assert done.exit_code == 0, done.output

    assert len(list((tmp_path / "out").iterdir())) == 2


def test_preset_json_comes_back_in(command: Command, tmp_path: Path) -> None:
    command("create", "water", "--add", f"{FEATURE.format(5)}=3", "--unit", "raw")
    file = tmp_path / "preset.json"
    file.write_text(command("show", "water", "--json").stdout)
    broken = tmp_path / "broken.json"
    broken.write_text("{")

    assert command("import", str(file), "--name", "again").exit_code == 0
    first, second = (
        json.loads(command("show", name, "--json").stdout) for name in ("water", "again")
    )
    assert first["sha256"] == second["sha256"]
    refused(command("import", str(file)), ConflictError, "is there already")
    refused(command("import", str(broken)), InvalidInputError, "is no JSON file")


def test_tests_end_by_what_they_find_and_a_group_is_pruned(
    command: Command, tmp_path: Path
) -> None:
    tests = tmp_path / "tests.json"
    moved = {"prompts": ["the cat"], "measure": "divergence", "expect": "above", "tokens": 3}
    tests.write_text(json.dumps([{"name": "moved", "value": 0.05, **moved}]))
    features = [f"{FEATURE.format(index)}={value}" for index, value in ((5, 9), (7, 0.01))]
    added = [argument for one in features for argument in ("--add", one)]
    command("create", "water", *added, "--unit", "raw", "--tests", str(tests))

    held = command("test", "water", "--json")
    pruned = command("prune", "water", "--test", "moved", "--json")
    tests.write_text(json.dumps([{"name": "moved", "value": 999, **moved}]))
    command("save", "water", "--tests", str(tests))
    failed = command("test", "water")

    assert held.exit_code == 0, held.output
    assert json.loads(held.stdout)["tests"][0]["holds"] is True
    kept = [one["kept"] for one in json.loads(pruned.stdout)["members"]]
    assert kept == [True, False]
    assert failed.exit_code == 1
    assert "fails" in failed.stdout
    tests.write_text('[{"name": "x", "prompts": ["a"], "measure": "banana"}]')
    refused(
        command("save", "water", "--tests", str(tests)), InvalidInputError, "holds no list of tests"
    )


def test_what_is_not_there_or_means_nothing_is_said(command: Command) -> None:
    refused(command("show", "nothing"), NotFoundError, "There is no preset 'nothing'")
    refused(command("create", "x"), InvalidInputError, "The preset has 0 features")
    refused(
        command("create", "x", "--add", f"{FEATURE.format(5)}=nan"),
        InvalidInputError,
        "is no FEATURE=VALUE",
    )
    refused(
        command("create", "x", "--mute", FEATURE.format(5), "--group", "g=much"),
        InvalidInputError,
        "has no number as its strength",
    )
    command("create", "muted", "--mute", FEATURE.format(5))
    targets = json.loads(command("targets", "muted", "--json").stdout)["items"]
    assert [one["name"] for one in targets if not one["refusals"]] == ["transformers"]
    refused(
        command("export", "muted", "--target", "gguf"), InvalidInputError, "llama.cpp cannot take"
    )
    refused(command("show", "muted@7"), NotFoundError, "There is no version 7")
