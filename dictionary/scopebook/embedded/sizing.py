"""Server settings sized to the machine that runs them."""

import os
from pathlib import Path

import psutil

_MB = 2**20
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARED_MEMORY = Path("/dev/shm")


def memory_bytes() -> int:
    """Return the memory that this machine or container may use."""
    total = int(psutil.virtual_memory().total)
    try:
        limit = int(_CGROUP_LIMIT.read_text())
    except (OSError, ValueError):  # no cgroup, or "max"
        return total
    return min(total, limit)


def _shared_memory_bytes() -> int:
    try:
        state = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return 2**62  # not Linux: shared memory is not a mount with a size
    return state.f_bavail * state.f_frsize


def _megabytes(size: int, least: int, most: int) -> str:
    return f"{min(max(size // _MB, least), most)}MB"


def postgres_settings(free_disk_bytes: int) -> dict[str, str]:
    """Return the server settings for this machine's memory and the disk that is left.

    Vector indexes are read all over, so that what lies outside of the shared buffers is copied in
    again and again: with 1/8 of the memory searches took half as long as with 512 MB.

    Builds of vector indexes by several processes share `maintenance_work_mem` through /dev/shm,
    which containers keep small. An index that does not fit into it is built many times as slowly:
    one of 1.3 million vectors takes 1.6 GB.
    """
    memory = memory_bytes()
    return {
        "shared_buffers": _megabytes(memory // 8, 128, 4096),
        "maintenance_work_mem": _megabytes(min(memory // 8, _shared_memory_bytes() // 2), 32, 4096),
        # What tidies up by itself does with little.
        "autovacuum_work_mem": "64MB",
        "max_wal_size": _megabytes(free_disk_bytes // 8, 256, 4096),
        # 23 for each API process, 4 for each worker process, 2 for the sweep.
        "max_connections": "200",
        "random_page_cost": "1.1",
        "jit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
    }
