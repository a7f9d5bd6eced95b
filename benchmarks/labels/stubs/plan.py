"""Which request fails how, and how the stub counts tokens."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

_PIECES: Final = re.compile(r" ?[^\W\d_]+|\d| ?(?:[^\w\s]|_)+|\s+")
_BYTES_OF_TOKEN: Final = 7

#: What T7 plans: name of the fault -> share of the requests.
MIXED: Final[Mapping[str, float]] = {
    "bad_json": 0.10,
    "429": 0.05,
    "hang": 0.03,
    "refusal": 0.02,
    "500": 0.02,
    "503": 0.02,
    "reset": 0.02,
    "truncated": 0.02,
    "html": 0.02,
    "cut": 0.02,
    "empty": 0.02,
    "length": 0.02,
    "wrong_model": 0.02,
}


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Shares of requests that fail, by name.

    A number is a status. `hang`, `trickle` (a byte now and then), `reset`, `truncated`, `huge`
    break the connection; `html` and `cut` (half the JSON) break the protocol; `bad_json`,
    `refusal`, `content_filter`, `empty`, `length` and `wrong_model` are answers of the protocol.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    #: How often a content suffers its fault before it is answered; None is always.
    times: int | None = 1
    #: Of the contents that fail, the share that fails always.
    lasting: float = 0.0
    retry_after: str | None = "0.05"
    hang_s: float = 600.0
    location: str = ""
    #: `error.code` of a refusal.
    code: str = "planned"
    #: Fields and response formats that the server refuses to know.
    unknown_names: Sequence[str] = ()
    unknown_status: int = 400
    #: Whether the complaint names what is unknown.
    names_unknown: bool = True
    #: Whether answers report their tokens.
    usage: bool = True
    seed: int = 0

    def of(self, digest: bytes, times: int) -> str | None:
        """Return the fault of a content that comes for the `times`-th time, or None."""
        place = self._chance(digest, "which")
        for name, share in self.shares.items():
            if place < share:
                always = self.times is None or self._chance(digest, "lasting") < self.lasting
                return name if always or times <= (self.times or 0) else None
            place -= share
        return None

    def unknown(self, body: Mapping[str, Any]) -> str | None:
        """Return the complaint about the first unknown field of a request, or None."""
        kind = (body.get("response_format") or {}).get("type")
        for name in self.unknown_names:
            if name == kind or name in body:
                if not self.names_unknown:
                    return "the request is not valid"
                hint = "; use 'max_completion_tokens'" if name == "max_tokens" else ""
                return f"unsupported parameter: '{name}'{hint}"
        return None

    def _chance(self, digest: bytes, what: str) -> float:
        drawn = sha256(digest + f"{what}{self.seed}".encode()).digest()
        return int.from_bytes(drawn[:6]) / 2**48


def tokens_of(text: str) -> int:
    """Count as a byte-level tokenizer might: words, digits, marks; long ones in pieces."""
    return sum(-(-len(piece.encode()) // _BYTES_OF_TOKEN) for piece in _PIECES.findall(text))
