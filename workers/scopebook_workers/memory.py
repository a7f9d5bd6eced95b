"""The memory that is free on a device, inside a container as well."""

from pathlib import Path
from typing import Final

import psutil
import torch

#: Where a container of cgroup version 2 tells its limit and its use.
_CGROUP: Final = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> int:
    """Return the bytes that nothing uses on a device."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    available = int(psutil.virtual_memory().available)
    left = left_in_container()
    return available if left is None else min(available, left)


def left_in_container(folder: Path = _CGROUP) -> int | None:
    """Return the bytes until a container's limit; None without one.

    Pages of files that were not used lately count as free, as the kernel drops them first.
    """
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        cached = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration, IndexError):  # no such container, or "max"
        return None
    return max(0, limit - used + cached)
