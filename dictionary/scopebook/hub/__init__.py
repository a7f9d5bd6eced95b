"""The Hugging Face hub: what a release costs, what a repository holds, and getting it here."""

from scopebook.hub.cards import Card, read_card
from scopebook.hub.download import (
    DownloadedModel,
    DownloadedRelease,
    LayerFile,
    download_model,
    download_release,
)
from scopebook.hub.files import Progress, check_free_space
from scopebook.hub.listing import Hub, Listing, look_up
from scopebook.hub.plan import DownloadPlan, PlannedFile, plan_download

__all__ = [
    "Card",
    "DownloadPlan",
    "DownloadedModel",
    "DownloadedRelease",
    "Hub",
    "LayerFile",
    "Listing",
    "PlannedFile",
    "Progress",
    "check_free_space",
    "download_model",
    "download_release",
    "look_up",
    "plan_download",
    "read_card",
]
