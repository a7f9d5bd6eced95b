"""The files of an export that are the same for every preset; they lie in the folder `files`."""

from importlib.resources import files

_HERE = files("scopebook_workers.exporters") / "files"


def plain_file(folder: str, name: str) -> bytes:
    """Return the bytes of a file that exports hold as it is."""
    return (_HERE / folder / name).read_bytes()


def plain_files(folder: str) -> list[str]:
    """Return the names of a folder's files, sorted."""
    return sorted(one.name for one in (_HERE / folder).iterdir() if one.is_file())
