"""The dictionary: tables, queries, jobs and settings that the API and the workers share.

`from scopebook import Client` asks an instance over HTTP.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scopebook.client import Client as Client


def __getattr__(name: str) -> object:
    """Load the client when it is asked for: the command line and the workers do without."""
    if name == "Client":
        return import_module("scopebook.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
