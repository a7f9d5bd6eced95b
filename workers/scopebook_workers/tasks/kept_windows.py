"""An encoder whose vectors are kept in the dictionary: only windows that are new are encoded."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.window_vectors import keep_vectors, kept_vectors
from scopebook_workers.claims import Progress
from scopebook_workers.labeling.encoding import WindowEncoder
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.window_vectors import Vectors
from scopebook_workers.outages import patiently, read_patiently

#: Windows of one transaction; a worker that is killed loses no more.
BATCH: Final = 256
#: Windows of one query.
_READ: Final = 4_096
_HALF: Final = np.dtype("<f2")


class KeptEncoder:
    """Gives the vectors of `encoder`; those it has given before come from the dictionary.

    Both are the same numbers, since an encoder rounds to what is kept.
    """

    def __init__(self, encoder: WindowEncoder, progress: Progress) -> None:
        self._encoder, self._progress = encoder, progress

    @property
    def id(self) -> str:
        """The encoder's."""
        return self._encoder.id

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return the encoder's keys."""
        return self._encoder.keys(windows)

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return a vector for each window (window, dimension)."""
        if not windows:
            return self._encoder.encode([])
        return self.complete(
            self.keys(windows), lambda places: self._encoder.encode([windows[i] for i in places])
        )

    def complete(
        self, keys: Sequence[bytes], encode: Callable[[Sequence[int]], Vectors]
    ) -> Vectors:
        """Return the vector of each key; `encode` gives those at the places that are not kept.

        In the order of the places, so that what belongs together may stand together.
        """
        distinct = {key: place for place, key in enumerate(keys)}
        known = self._kept(list(distinct))
        missing = [key for key in distinct if key not in known]
        for start in range(0, len(missing), BATCH):
            self._progress.check()
            part = missing[start : start + BATCH]
            vectors = encode([distinct[key] for key in part]).astype(_HALF)
            new = {key: row.tobytes() for key, row in zip(part, vectors, strict=True)}
            # Vectors may be paid for: a database that comes back within a lease loses none.
            patiently(partial(self._keep, new), "a batch of vectors")
            known.update(new)
        found = np.frombuffer(b"".join(known[key] for key in keys), dtype=_HALF)
        return found.reshape(len(keys), -1).astype(np.float32)

    def _kept(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _READ):
            part = keys[start : start + _READ]
            known |= read_patiently(
                partial(kept_vectors, embedder_id=self.id, windows=part),
            )
        return known

    def _keep(self, vectors: Mapping[bytes, bytes]) -> None:
        with unit_of_work(sessions()) as session:
            self._progress.hold(session)
            keep_vectors(session, self.id, vectors)
