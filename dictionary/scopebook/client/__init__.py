"""Ask an instance of Scopebook over HTTP: `Client(url, token)`.

Needs neither FastAPI nor torch nor a database. Answers are the API's JSON, typed by
`scopebook.client.types`; refusals are `ProblemError`.
"""

from scopebook.client.accounts import Accounts
from scopebook.client.annotating import Annotating
from scopebook.client.errors import (
    ChangedSinceError,
    JobEndedError,
    ProblemError,
    UnreachableError,
)
from scopebook.client.live import Live
from scopebook.client.presets import Presets
from scopebook.client.reading import Filters, Reading
from scopebook.client.scans import Scans
from scopebook.client.team import Team
from scopebook.client.work import Work

__all__ = [
    "ChangedSinceError",
    "Client",
    "Filters",
    "JobEndedError",
    "ProblemError",
    "UnreachableError",
]


class Client(Reading, Annotating, Team, Work, Scans, Live, Presets, Accounts):
    """One instance of Scopebook; lists are iterators that fetch their pages as they are read."""
