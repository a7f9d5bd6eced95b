"""The requests that a worker is at, each as far as it is, and whose turn it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook import jobs, meters
from scopebook.activations import pack_activations
from scopebook.db.tables import Model, Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.inference_queue import Asked
from scopebook.inference_requests import prompt_names
from scopebook.settings import settings
from scopebook_workers.inference.prompts import Prompt, read_prompts
from scopebook_workers.inference.residents import Resident, Residents
from scopebook_workers.inference.running import Row, Wanted, gather, run_rows
from scopebook_workers.inference.steered import Measuring, SteeredWriting
from scopebook_workers.inference.writing import Sampling, Writing
from scopebook_workers.sae.weights import SparseAutoencoder

#: Tokens of one turn of everybody: a large request lets others in so often.
_TURN_TOKENS: Final = 4_096


@dataclass(frozen=True)
class Weights:
    """Where the weights of a request lie."""

    model_path: str
    #: By layer.
    artifacts: Mapping[int, str]


def read_weights(session: Session, asked: Asked) -> Weights:
    """Return the weights that a request needs."""
    release = session.get_one(Release, asked.release_id)
    saes = session.execute(
        select(Sae.layer, Sae.artifact).where(
            Sae.release_id == release.id, Sae.layer.in_(asked.parameters["layers"])
        )
    )
    path = session.get_one(Model, release.model_id).path
    return Weights(path, {row.layer: row.artifact for row in saes})


@dataclass(eq=False)
class Work:
    """One request under way."""

    asked: Asked
    resident: Resident
    saes: Mapping[int, SparseAutoencoder]
    prompts: list[Prompt]
    writing: Writing | SteeredWriting | Measuring | None = None
    rows: list[Row] = field(default_factory=list)
    #: Tokens at the end of the text that the model has written.
    written: int = 0

    @property
    def id(self) -> int:
        """The request's number."""
        return self.asked.id

    @property
    def done(self) -> bool:
        """Whether all is run that was asked for."""
        return self.writing is None and len(self.rows) == len(self.prompts)

    def write(self) -> None:
        """Let the model write one more token; the whole text is run when it has ended."""
        assert isinstance(self.writing, Writing)
        self.writing.step()
        meters.count("tokens_written", kind=jobs.INFER)
        if self.writing.ended:
            self.prompts = [self.writing.whole()]
            self.written, self.writing = len(self.writing.token_ids), None

    def wanted(self, ahead: int) -> Wanted | None:
        """Return the text that is next after `ahead` of those that are not run; None: no more."""
        place = len(self.rows) + ahead
        if self.writing is not None or place >= len(self.prompts):
            return None
        return Wanted(self.prompts[place].token_ids, self.saes.keys())

    def keep(self, session: Session) -> None:
        """Write what was measured beside the answer and holds for others too; here nothing."""

    def answer(self) -> bytes:
        """Return all that fires, packed."""
        written = [self.written] * len(self.prompts)
        special = self.resident.special
        return pack_activations(gather(self.prompts, self.rows, written=written, special=special))


def begin_work(residents: Residents, asked: Asked, weights: Weights) -> Work:
    """Return a request with its model loaded and its texts cut.

    Raises InvalidInputError for texts that are too long, or none.
    """
    resident = residents.model(weights.model_path)
    going_on = asked.parameters.get("continue")
    prompts = prompts_of(resident, asked.parameters)
    total = sum(len(prompt.token_ids) for prompt in prompts)
    if total > settings().inference_total_tokens:
        raise InvalidInputError(
            f"The texts have {total:,} tokens and {settings().inference_total_tokens:,} are run "
            "at once; give fewer, or scan them as a data set: `scopebook scan`."
        )
    writing = Writing(resident, prompts[0], Sampling(**going_on)) if going_on else None
    return Work(asked, resident, residents.saes(weights.artifacts), prompts, writing)


def prompts_of(resident: Resident, parameters: Mapping[str, Any]) -> list[Prompt]:
    """Return the texts of a request, with room for what is to be written after them."""
    going_on = parameters.get("continue")
    asked = parameters["prompts"]
    return read_prompts(
        resident,
        asked,
        names=prompt_names(len(asked), parameters.get("n_a", 0)),
        most_tokens=settings().inference_tokens - (going_on["tokens"] if going_on else 0),
    )


def next_rows(works: Sequence[Work]) -> list[tuple[Work, Wanted]]:
    """Return the texts of one turn: one of each request, then another one, while there is room."""
    chosen: list[tuple[Work, Wanted]] = []
    tokens = 0
    for work, wanted in _in_turn(works):
        tokens += len(wanted.token_ids)
        if chosen and tokens > _TURN_TOKENS:
            break
        chosen.append((work, wanted))
    return chosen


def _in_turn(works: Sequence[Work]) -> Iterator[tuple[Work, Wanted]]:
    ahead = 0
    while True:
        of_turn = [(work, wanted) for work in works if (wanted := work.wanted(ahead))]
        if not of_turn:
            return
        yield from of_turn
        ahead += 1


def run_turn(chosen: Sequence[tuple[Work, Wanted]]) -> None:
    """Run these texts, of one release, and give each request its own."""
    saes: dict[int, SparseAutoencoder] = {}
    for work, _ in chosen:
        saes.update(work.saes)
    meters.count("tokens_read", sum(len(wanted.token_ids) for _, wanted in chosen), kind=jobs.INFER)
    rows = run_rows(chosen[0][0].resident.model, saes, [wanted for _, wanted in chosen])
    for (work, _), row in zip(chosen, rows, strict=True):
        work.rows.append(row)
