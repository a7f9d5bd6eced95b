"""Cut a run's contexts into blocks and shards, always in the same places."""

from collections.abc import Sequence


def cut_blocks(lengths: Sequence[int], block_tokens: int) -> list[range]:
    """Return ranges of contexts: each ends with the context that fills it.

    Cutting may begin at any block's start and meets the same borders from there on.
    """
    blocks = []
    first, tokens = 0, 0
    for place, length in enumerate(lengths):
        tokens += length
        if tokens >= block_tokens:
            blocks.append(range(first, place + 1))
            first, tokens = place + 1, 0
    if first < len(lengths):
        blocks.append(range(first, len(lengths)))
    return blocks


def cut_shards(lengths: Sequence[int], *, block_tokens: int, shard_tokens: int) -> list[range]:
    """Return ranges of contexts: each is the fewest whole blocks with `shard_tokens` tokens."""
    shards = []
    first, tokens = 0, 0
    for block in cut_blocks(lengths, block_tokens):
        tokens += sum(lengths[place] for place in block)
        if tokens >= shard_tokens:
            shards.append(range(first, block.stop))
            first, tokens = block.stop, 0
    if first < len(lengths):
        shards.append(range(first, len(lengths)))
    return shards


def within(lengths: Sequence[int], max_tokens: int | None) -> int:
    """Return how many contexts come before the one that would exceed `max_tokens`."""
    if max_tokens is None:
        return len(lengths)
    tokens = 0
    for place, length in enumerate(lengths):
        tokens += length
        if tokens > max_tokens:
            return place
    return len(lengths)
