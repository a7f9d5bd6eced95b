"""Detection: does a judge who knows only the label tell where the feature fires?"""

from collections.abc import Sequence
from typing import Final

from scopebook_workers.labeling.scoring.asking import case_requests, predict
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel
from scopebook_workers.labeling.scoring.prompts import DETECTION
from scopebook_workers.labeling.scoring.score import (
    Predictions,
    Score,
    require_both_kinds,
    score_of,
)
from scopebook_workers.llm.chat import Chat, ChatRequest

SCORER: Final = "detection"
#: Changes whenever the same label and cases may be asked otherwise.
VERSION: Final = "detection-2"
_FIELD: Final = "fires"


def detection_requests(key: str, label: JudgedLabel, cases: Sequence[Case]) -> list[ChatRequest]:
    """Return what a judge is asked, for a batch file or to count its tokens."""
    return case_requests(f"{key}/{SCORER}", DETECTION, _FIELD, label, cases)


async def detect(chat: Chat, key: str, label: JudgedLabel, cases: Sequence[Case]) -> Predictions:
    """Return for each case whether the judge says that the label fits it."""
    return await predict(chat, detection_requests(key, label, cases), _FIELD, len(cases))


async def score_detection(chat: Chat, key: str, label: JudgedLabel, cases: Sequence[Case]) -> Score:
    """Return the score of a label on its cases (see `detection_cases`).

    Raises InvalidInputError where a kind of case is missing, and what `chat` raises where no
    request can be answered.
    """
    require_both_kinds(key, cases)
    predictions = await detect(chat, key, label, cases)
    return score_of(predictions, cases, scorer=SCORER, version=VERSION)
