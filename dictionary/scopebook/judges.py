"""Who may judge: another model than the one that worded the labels."""

import re
from collections.abc import Collection
from typing import Final

from scopebook.errors import InvalidInputError

_DATE: Final = re.compile(r"[-@:](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest)$")


def plain_name(model: str) -> str:
    """Return a model's name without owner, folder, file ending and date: what makes it the same.

    `openai/gpt-4o-mini-2024-07-18` and `gpt-4o-mini` are one model; sizes are told apart.
    """
    name = model.strip().rstrip("/").rsplit("/", 1)[-1].casefold()
    return _DATE.sub("", name.removesuffix(".gguf"))


def same_judge(labelers: Collection[str], judge: str) -> str | None:
    """Return the labeler that the judge is, by name; None if it is another model."""
    return next((name for name in labelers if plain_name(name) == plain_name(judge)), None)


def require_other_judge(
    labelers: Collection[str], judge: str, *, allow_same: bool = False
) -> str | None:
    """Refuse a judge that worded some of the labels; with `allow_same`, return a warning instead.

    `labelers` are the models that the labels' origins name, asked and reported ones alike. Call
    it again with the model that the scores report, as a server may answer with another one.
    """
    labeler = same_judge(labelers, judge)
    if labeler is None:
        return None
    if allow_same:
        return (
            f"The judge {judge} also worded labels that it scores (as {labeler}): models agree "
            "with themselves, so these scores are too high."
        )
    raise InvalidInputError(
        f"The judge {judge} also worded labels that it would score (as {labeler}), and models "
        "agree with themselves; name another model as judge, or allow the same one expressly."
    )
