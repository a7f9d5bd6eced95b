"""Open the language model that a step names, with its budget and the key that is meant for it."""

from contextlib import AbstractAsyncContextManager

from pydantic import SecretStr

from scopebook.labeling_requests import LanguageModel
from scopebook.llm_labelings import Spent
from scopebook.settings import settings
from scopebook_workers.llm.budget import Budget, Prices, Usage
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.counting import Counting, counting_of
from scopebook_workers.llm.opening import open_chat


def prices_of(llm: LanguageModel) -> Prices | None:
    """Return what tokens cost, where it is known."""
    if llm.price_in is None or llm.price_out is None:
        return None
    return Prices(read=llm.price_in, written=llm.price_out, cached=llm.price_cached)


def budget_of(llm: LanguageModel, spent: Spent) -> Budget:
    """Return the budget of a job that has spent something already."""
    return Budget(
        tokens=llm.budget_tokens,
        usd=llm.budget_usd,
        prices=prices_of(llm),
        spent=Usage(
            tokens_in=spent.tokens_in,
            tokens_cached=spent.tokens_cached,
            tokens_out=spent.tokens_out,
        ),
    )


def counting_for(llm: LanguageModel, *, judges: bool = False) -> Counting:
    """Return how tokens are counted for the model, to tell beforehand what asking takes."""
    return counting_of(llm.endpoint, model=llm.model, api_key=_key(llm.endpoint, judges=judges))


def open_model(
    llm: LanguageModel, budget: Budget, *, judges: bool = False
) -> AbstractAsyncContextManager[Chat]:
    """Give the model inside the block; one that `judges` has a key of its own."""
    chosen = settings()
    return open_chat(
        endpoint=llm.endpoint,
        model=llm.model,
        api_key=_key(llm.endpoint, judges=judges),
        parallel=llm.parallel or chosen.llm_parallel,
        timeout_s=chosen.llm_timeout_s,
        budget=budget,
        device=chosen.device,
    )


def _key(endpoint: str, *, judges: bool) -> SecretStr | None:
    """Return the key for a server: only the one that it is meant for ever sees it."""
    chosen = settings()
    if judges and endpoint == chosen.judge_endpoint and chosen.judge_api_key is not None:
        return chosen.judge_api_key
    return chosen.llm_api_key if endpoint == chosen.llm_endpoint else None
