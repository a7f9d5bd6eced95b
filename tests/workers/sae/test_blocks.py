from hypothesis import given
from hypothesis import strategies as st

from scopebook_workers.sae.blocks import cut_blocks, cut_shards, within

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


@given(lengths=LENGTHS, block_tokens=st.integers(1, 120), shard_tokens=st.integers(1, 400))
def test_shards_are_whole_blocks_and_cover_every_context_once(
    lengths: list[int], block_tokens: int, shard_tokens: int
) -> None:
    blocks = cut_blocks(lengths, block_tokens)

    shards = cut_shards(lengths, block_tokens=block_tokens, shard_tokens=shard_tokens)

    assert [place for shard in shards for place in shard] == list(range(len(lengths)))
    assert {shard.start for shard in shards} <= {block.start for block in blocks}


@given(lengths=LENGTHS, block_tokens=st.integers(1, 120), shard_tokens=st.integers(1, 400))
def test_a_shard_finds_the_blocks_of_the_whole_run(
    lengths: list[int], block_tokens: int, shard_tokens: int
) -> None:
    shards = cut_shards(lengths, block_tokens=block_tokens, shard_tokens=shard_tokens)

    found = [
        range(shard.start + block.start, shard.start + block.stop)
        for shard in shards
        for block in cut_blocks(lengths[shard.start : shard.stop], block_tokens)
    ]

    assert found == cut_blocks(lengths, block_tokens)


def test_the_limit_takes_only_whole_contexts() -> None:
    assert [within([3, 4, 5], limit) for limit in (None, 2, 3, 7, 11, 12)] == [3, 0, 1, 2, 2, 3]
