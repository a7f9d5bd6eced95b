"""What a language model is asked, and what comes back, whoever answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: Why an answer is none: `timeout`, `rate` (429), `server` (5xx), `connection`, `protocol` (no
#: answer of the protocol), `refused` (a refusal or content filter), `length` (cut off), `empty`.
ErrorClass = Literal[
    "timeout", "rate", "server", "connection", "protocol", "refused", "length", "empty"
]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """A conversation whose next turn is wanted.

    Requests of one kind begin with the same system message, byte for byte, so that servers read
    it once.
    """

    #: Names the request towards whoever asks; an answer in a batch file is found by it.
    key: str
    messages: Sequence[Message]
    #: The JSON schema of the answer, where one is wanted.
    schema: dict[str, Any] | None = None
    max_tokens: int = 600
    temperature: float = 0.0
    seed: int | None = 0


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """What the model said, and what the asking took."""

    text: str
    #: As the server reports it: it may not be the one asked for.
    model: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    attempts: int = 1
    latency_ms: int = 0


class ChatFailedError(Exception):
    """One request has no answer, also after all attempts; others may have one."""

    def __init__(
        self, error_class: ErrorClass, message: str, *, attempts: int = 1, raw: str = ""
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.attempts = attempts
        #: What was said instead, if anything.
        self.raw = raw


class Chat(Protocol):
    """A language model; `ask` may be called many times at once, and decides how many run."""

    @property
    def model(self) -> str:
        """The model's name, as it is asked for."""

    @property
    def endpoint(self) -> str:
        """Where it runs, without keys or passwords."""

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Return the answer.

        Raises ChatFailedError for this request alone, and a ScopebookError where no other request
        could be answered either (a wrong key or address, a spent budget): the caller stops then.
        """
