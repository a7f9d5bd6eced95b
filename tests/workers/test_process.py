import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scopebook.settings import Settings, settings, use_settings
from scopebook_workers import process


@pytest.fixture(autouse=True)
def _settings_and_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "99")
    monkeypatch.setenv("RAYON_NUM_THREADS", "99")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(process, "cores", lambda: 8)
    before = settings()
    yield
    use_settings(before)


def test_the_cores_are_shared_among_the_processes() -> None:
    use_settings(Settings(workers=3))

    process.prepare(3)

    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS")} == {"2"}


def test_a_setting_for_threads_wins() -> None:
    use_settings(Settings(torch_threads=5))

    process.prepare(3)

    assert os.environ["MKL_NUM_THREADS"] == "5"


def test_there_is_a_process_for_each_gpu_or_two_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    use_settings(Settings(device="cpu"))
    on_cpu = process.pool_size()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,3")
    use_settings(Settings())
    on_gpus = process.pool_size()
    use_settings(Settings(workers=7))

    assert (on_cpu, on_gpus, process.pool_size()) == (2, 3, 7)


def test_processes_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    use_settings(Settings())
    taken = []
    for index in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
        monkeypatch.setattr(process.current_process(), "index", index, raising=False)
        process.prepare(3)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])

    assert taken == ["4", "6", "4"]


@pytest.mark.parametrize(
    ("said", "cores"),
    [("400000 100000", 4), ("150000 100000", 2), ("max 100000", None), ("", None)],
)
def test_a_limit_of_the_container_is_in_cores(said: str, cores: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(said)

    assert process._limit_of_container(tmp_path / "cpu.max") == cores
    assert process._limit_of_container(tmp_path / "nothing") is None
