"""Read a control vector of llama.cpp from a GGUF file, with nothing but Python."""

import struct
from pathlib import Path

#: By the type's number in GGUF; 8 is a string and 9 an array.
_NUMBERS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?")))
_NUMBERS |= {10: "<Q", 11: "<q", 12: "<d"}
_FLOAT32 = 0


class _Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, form):
        [value] = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        length = self.number("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, length = self.number("<I"), self.number("<Q")
            return [self.value(kind) for _ in range(length)]
        return self.number(_NUMBERS[kind])


def read_control_vector(path):
    """Return a file's metadata, and by layer the vector as bytes of little-endian float32.

    Raises ValueError for a file that llama.cpp would not load whole: it would run on unsteered.
    """
    reader = _Reader(Path(path).read_bytes())
    if reader.data[:4] != b"GGUF":
        raise ValueError(f"{path} is no GGUF file")
    reader.at = 8
    tensors, keys = reader.number("<Q"), reader.number("<Q")
    metadata = {}
    for _ in range(keys):
        name = reader.text()
        metadata[name] = reader.value(reader.number("<I"))
    places = {}
    for _ in range(tensors):
        name = reader.text()
        shape = [reader.number("<Q") for _ in range(reader.number("<I"))]
        kind, offset = reader.number("<I"), reader.number("<Q")
        word, _, layer = name.partition(".")
        if word != "direction" or not layer.isdigit() or int(layer) < 1:
            raise ValueError(f"{path} holds {name}, and llama.cpp takes direction.1 and upwards")
        if len(shape) != 1 or kind != _FLOAT32:
            raise ValueError(f"{name} of {path} is no vector of float32")
        places[int(layer)] = (offset, 4 * shape[0])
    unit = metadata.get("general.alignment", 32)
    start = -(-reader.at // unit) * unit
    vectors = {
        layer: reader.data[start + offset : start + offset + size]
        for layer, (offset, size) in sorted(places.items())
    }
    if len({len(vector) for vector in vectors.values()}) != 1:
        raise ValueError(f"the vectors of {path} are not all of one width")
    return metadata, vectors
