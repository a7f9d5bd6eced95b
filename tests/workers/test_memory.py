"""How much memory is free, in a container as well."""

from pathlib import Path

import psutil
import pytest
import torch

from scopebook_workers import memory
from scopebook_workers.memory import free_bytes, left_in_container


def container(folder: Path, *, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nactive_file 9\n")
    return folder


def test_what_is_left_counts_files_that_the_kernel_would_drop(tmp_path: Path) -> None:
    assert left_in_container(container(tmp_path, limit="1000", used=700, cached=100)) == 400
    assert left_in_container(container(tmp_path, limit="1000", used=1200, cached=100)) == 0


def test_without_a_limit_or_a_container_there_is_none(tmp_path: Path) -> None:
    assert left_in_container(tmp_path) is None
    assert left_in_container(container(tmp_path, limit="max", used=1, cached=1)) is None


@pytest.mark.parametrize(("left", "free"), [(5, 5), (None, 900), (10_000, 900)])
def test_the_least_of_machine_and_container_is_free(
    left: int | None, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = psutil.virtual_memory()._replace(available=900)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)
    monkeypatch.setattr(memory, "left_in_container", lambda: left)

    assert free_bytes(torch.device("cpu")) == free
