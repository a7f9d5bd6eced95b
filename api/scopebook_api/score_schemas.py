"""How scores of labels are asked for."""

from typing import Literal

from pydantic import Field

from scopebook_api.schemas import Schema


class JudgeRequest(Schema):
    """Which language model judges the labels, and what that may take."""

    endpoint: str = Field(
        pattern="^https?://",
        description="Base URL of an OpenAI-compatible server; without a key, which is a setting.",
    )
    model: str
    parallel: int | None = Field(default=None, ge=1, le=1024)
    budget_tokens: int | None = Field(default=None, ge=1)
    budget_usd: float | None = Field(default=None, gt=0)
    price_in: float | None = Field(default=None, ge=0, description="US dollars a million tokens.")
    price_cached: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)


class ScoreRequest(Schema):
    """Which labels are to be scored, and how."""

    release: str
    layers: list[int] | None = Field(default=None, description="Null: all.")
    judge: JudgeRequest | None = Field(default=None, description="Null: compare vectors alone.")
    scorers: list[Literal["embedding", "detection", "fuzzing", "union", "intruder"]] | None = Field(
        default=None, description="Null: all that can be, which is `embedding` without a judge."
    )
    sample: int | None = Field(
        default=None, ge=1, description="Features of each layer, drawn by their number; null: all."
    )
    source: Literal["keywords", "llm"] | None = Field(
        default=None,
        description="The newest labels of this source; null: those in force, of which no judge is "
        "asked about keywords.",
    )
    same_judge: bool = Field(
        default=False, description="Let a model judge labels that it has worded."
    )
