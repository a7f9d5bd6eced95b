"""Ask a language model for the wording of a feature, and take only an answer that can stand."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from scopebook_workers.labeling.addressing import copied_from
from scopebook_workers.labeling.answers import (
    ReadAnswer,
    WordedSense,
    quoted_error,
    read_answer,
)
from scopebook_workers.labeling.material import Material
from scopebook_workers.labeling.prompts import (
    prompt_sha256,
    quiets_shown,
    request_for,
    shown_contrasts,
    shown_examples,
    shown_texts,
)
from scopebook_workers.llm.chat import Chat, ChatAnswer, ChatFailedError, ChatRequest, Message

Status = Literal["ok", "abstained", "refused", "failed"]

#: Of a raw answer so much is kept.
_RAW: Final = 8_000


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How asking for a feature's wording ended, and what it took; sums over both turns."""

    status: Status
    senses: tuple[WordedSense, ...] = ()
    reason: str | None = None
    error_class: str | None = None
    shown: Sequence[int] = ()
    #: Of each contrast that was shown its context, and the token it was shown around.
    contrasts: Sequence[tuple[int, int]] = ()
    prompt_sha256: bytes = b""
    model_reported: str | None = None
    system_fingerprint: str | None = None
    finish_reason: str | None = None
    attempts: int = 0
    latency_ms: int = 0
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    raw: str = ""


@dataclass
class _Asked:
    """What was asked of one feature so far."""

    wording: Wording
    raws: list[str] = field(default_factory=list)

    def took(self, answer: ChatAnswer) -> None:
        self.raws.append(answer.text)
        before = self.wording
        self.wording = replace(
            before,
            model_reported=answer.model,
            system_fingerprint=answer.system_fingerprint,
            finish_reason=answer.finish_reason,
            attempts=before.attempts + answer.attempts,
            latency_ms=before.latency_ms + answer.latency_ms,
            tokens_in=before.tokens_in + answer.tokens_in,
            tokens_cached=before.tokens_cached + answer.tokens_cached,
            tokens_out=before.tokens_out + answer.tokens_out,
        )

    def failed(self, error: ChatFailedError) -> Wording:
        refused = error.error_class == "refused"
        self.raws.append(error.raw)
        return self.ended(
            ReadAnswer(
                status="refused" if refused else "invalid",
                reason="The model refused to answer."
                if refused
                else f"The model gave no answer ({error}).",
            ),
            error_class=error.error_class,
            attempts=error.attempts,
        )

    def ended(
        self, read: ReadAnswer, *, error_class: str | None = None, attempts: int = 0
    ) -> Wording:
        status: Status = "failed" if read.status == "invalid" else read.status
        return replace(
            self.wording,
            status=status,
            senses=read.senses,
            reason=read.reason,
            error_class=error_class,
            attempts=self.wording.attempts + attempts,
            raw="\n---\n".join(filter(None, self.raws))[:_RAW],
        )


async def word(chat: Chat, key: str, material: Material) -> Wording:
    """Return the feature's wording; an answer that cannot stand is asked for once more.

    Raises a ScopebookError where no other feature could be worded either.
    """
    request = request_for(key, material)
    asked = _begun(request, material)
    turn = request
    for last in (False, True):
        try:
            answer = await chat.ask(turn)
        except ChatFailedError as error:
            return asked.failed(error)
        asked.took(answer)
        read = _read(answer.text, request, material)
        if read.status != "invalid" or last:
            break
        turn = _once_more(request, answer.text, read.reason or "")
    return asked.ended(read)


def wording_of(key: str, material: Material, answer: ChatAnswer | ChatFailedError) -> Wording:
    """Return the wording by an answer that came otherwise, such as in a batch file."""
    request = request_for(key, material)
    asked = _begun(request, material)
    if isinstance(answer, ChatFailedError):
        return asked.failed(answer)
    asked.took(answer)
    return asked.ended(_read(answer.text, request, material))


def _begun(request: ChatRequest, material: Material) -> _Asked:
    return _Asked(
        Wording(
            status="failed",
            shown=tuple(shown_examples(material)),
            contrasts=tuple((q.passage.id, q.center) for q in quiets_shown(material)),
            prompt_sha256=prompt_sha256(request),
        )
    )


def _read(text: str, request: ChatRequest, material: Material) -> ReadAnswer:
    user = request.messages[-1].content
    delimiter = user.split("<", 1)[-1].split(" ", 1)[0]
    read = read_answer(text, len(material.clusters), delimiter=delimiter)
    shown, contrasts = shown_texts(material), shown_contrasts(material)
    for sense in read.senses:
        own = [one for number in sense.clusters for one in shown[number]]
        copied = copied_from(sense.label, sense.description, own, contrasts)
        if copied is not None:
            return ReadAnswer(status="invalid", reason=copied)
    return read


def _once_more(request: ChatRequest, answer: str, reason: str) -> ChatRequest:
    return replace(
        request,
        messages=[
            *request.messages,
            Message(role="assistant", content=answer[:_RAW]),
            Message(role="user", content=quoted_error(reason)),
        ],
    )
