"""Count tokens as the model does, where its tokenizer is at hand."""

from functools import lru_cache
from pathlib import Path

from scopebook_workers.llm.addresses import is_address
from scopebook_workers.llm.tokens import Counter, estimate_tokens
from scopebook_workers.qwen.tokenizer import load_tokenizer


def counter_of(endpoint: str) -> Counter:
    """Return the tokenizer's own count for a model's folder, and the guess for a server.

    Raises CheckpointError for a folder without a tokenizer.
    """
    folder = Path(endpoint).expanduser()
    if is_address(endpoint) or not folder.is_dir():
        return estimate_tokens
    tokenizer = load_tokenizer(folder)

    @lru_cache(maxsize=256)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
