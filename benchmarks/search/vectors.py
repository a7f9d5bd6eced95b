"""Vectors of labels into the database, in one piece a layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session


def write_vectors(
    session: Session,
    label_ids: NDArray[np.int64],
    sae_id: int,
    vectors: NDArray[np.float16],
    embedder_id: int,
) -> None:
    """Write vectors as COPY's binary rows, put together in one piece."""
    dimension = vectors.shape[1]
    field = np.dtype(
        [
            *(("fields", ">i2"), ("a", ">i4"), ("label_id", ">i8"), ("b", ">i4")),
            *(("embedder_id", ">i4"), ("c", ">i4"), ("sae_id", ">i4"), ("d", ">i4")),
            *(("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f2", (dimension,))),
        ]
    )
    rows = np.zeros(len(label_ids), dtype=field)
    rows["fields"], rows["a"], rows["b"], rows["c"] = 4, 8, 4, 4
    rows["d"], rows["dimension"] = 4 + 2 * dimension, dimension
    rows["label_id"], rows["embedder_id"], rows["sae_id"] = label_ids, embedder_id, sae_id
    rows["vector"] = vectors
    connection: Any = session.connection().connection.driver_connection
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY label_embedding (label_id, embedder_id, sae_id, embedding)"
            " FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.write(b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8)
        copy.write(rows.tobytes())
        copy.write(b"\xff\xff")
