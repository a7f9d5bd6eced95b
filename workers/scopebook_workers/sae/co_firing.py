"""Which features fire on the same tokens."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: Partners that are kept of a feature, and the tokens that both must fire on at least.
MOST: Final = 10
LEAST_TOKENS: Final = 3
#: Of the tokens on which either fires; below it two features meet as any two do.
LEAST_SHARE: Final = 0.05
#: A feature that fires on more of the tokens than this is beside everything.
DENSE: Final = 0.1
#: Features that are compared with all others at once: bounds what is in memory.
_BLOCK: Final = 1_024


@dataclass(frozen=True, eq=False)
class CoFired:
    """Partners of each feature, those of feature f are rows `starts[f]` to `starts[f + 1]`."""

    #: Tokens that each feature fires on.
    fires: NDArray[np.int64]  # (features,)
    starts: NDArray[np.int64]  # (features + 1,)
    partners: NDArray[np.int32]  # most alike first, of equals the lower number
    #: Tokens on which both fire, of those on which either does.
    shares: NDArray[np.float32]


def co_firing(
    tokens: NDArray[np.integer], features: NDArray[np.integer], *, n_tokens: int, n_features: int
) -> CoFired:
    """Return the partners of every feature, given the pairs of token and feature that fires there.

    Each pair occurs once. `n_tokens` counts those on which nothing fires too.
    """
    fires = np.bincount(features, minlength=n_features)
    kept = (fires >= LEAST_TOKENS) & (fires <= DENSE * n_tokens)
    rows = kept[features]
    ones = np.ones(int(rows.sum()), np.float32)
    fired = sparse.csr_array((ones, (tokens[rows], features[rows])), shape=(n_tokens, n_features))
    by_feature = fired.T.tocsr()
    found = [
        _best(by_feature[begin : begin + _BLOCK] @ fired, fires, begin)
        for begin in range(0, n_features, _BLOCK)
    ]
    owners, partners, shares = (np.concatenate(column) for column in zip(*found, strict=True))
    return CoFired(
        fires=fires,
        starts=np.searchsorted(owners, np.arange(n_features + 1)),
        partners=partners.astype(np.int32),
        shares=shares.astype(np.float32),
    )


def _best(
    both: sparse.csr_array, fires: NDArray[np.int64], begin: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return owner, partner and share of a block's pairs, the best of each owner first."""
    pairs = both.tocoo()
    owner, partner = pairs.row.astype(np.int64) + begin, pairs.col.astype(np.int64)
    share = pairs.data / (fires[owner] + fires[partner] - pairs.data)
    wanted = (owner != partner) & (pairs.data >= LEAST_TOKENS) & (share >= LEAST_SHARE)
    owner, partner, share = owner[wanted], partner[wanted], share[wanted]
    order = np.lexsort((partner, -share, owner))
    owner, partner, share = owner[order], partner[order], share[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return owner[place < MOST], partner[place < MOST], share[place < MOST]
