"""Load the files of an export as Python loads them."""

import importlib.util
from pathlib import Path
from types import ModuleType


def module_from(path: Path) -> ModuleType:
    """Return a file as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"exported_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
