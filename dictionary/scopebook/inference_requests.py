"""What people may ask a model: texts or chats, checked before anything is queued."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook import inferences, texts
from scopebook.accounts import Actor
from scopebook.db.tables import Model, Release
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.releases import find_release, find_saes
from scopebook.settings import settings

TurnRole = Literal["system", "user", "assistant", "tool"]
TURN_ROLES: Final[tuple[TurnRole, ...]] = get_args(TurnRole)

#: Characters of one text: more are more tokens than any model is run on live.
MOST_CHARACTERS: Final = 1_000_000
#: Tokens that a model may be asked to write.
MOST_WRITTEN: Final = 1_000
#: Texts on one side of a comparison.
MOST_TEXTS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What somebody says in a chat."""

    role: TurnRole
    content: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text as it is, or a chat that the model's own template turns into one."""

    text: str | None = None
    messages: Sequence[Turn] = ()
    #: For templates that know it: whether the model may think first.
    thinking: bool | None = None

    def parameters(self, which: str) -> dict[str, Any]:
        """Return it as it is kept; `which` names it in a sentence. Raises for what is no text."""
        if self.text is not None and self.messages:
            raise InvalidInputError(f"{which} is given as text and as messages; give one of them.")
        if not self.messages:
            _check_text(which, self.text or "")
            return {"text": self.text}
        turns = [{"role": turn.role, "content": turn.content} for turn in self.messages]
        for number, turn in enumerate(turns, start=1):
            _check_text(f"Message {number} of {which[:1].lower()}{which[1:]}", turn["content"])
        return {"messages": turns, "thinking": self.thinking}


@dataclass(frozen=True, kw_only=True)
class GoingOn:
    """How the model is to go on with a text; a temperature of 0 takes the likeliest token."""

    tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look: a release by its name, or by its model's where that has one; some layers."""

    model: str
    layers: Sequence[int] | None = None


def ask_inspection(
    session: Session, actor: Actor, place: Place, prompt: Prompt, going_on: GoingOn | None = None
) -> int:
    """Queue a text to be inspected; return the request's number."""
    release, layers = find_place(session, place)
    parameters: dict[str, Any] = {
        "prompts": [prompt.parameters("The text")],
        "layers": layers,
    }
    if going_on is not None:
        check_going_on(going_on)
        parameters["continue"] = asdict(going_on)
    return queue(session, actor, release, "inspect", parameters)


def check_going_on(going_on: GoingOn) -> None:
    """Refuse to let the model go on by nothing, by too much, or below a temperature of 0."""
    if not 1 <= going_on.tokens <= MOST_WRITTEN or not 0 <= going_on.temperature < math.inf:
        raise InvalidInputError(
            f"The model cannot go on by {going_on.tokens} tokens at a temperature of "
            f"{going_on.temperature:g}; ask for 1 to {MOST_WRITTEN:,} at 0 or more."
        )


def ask_texts(session: Session, actor: Actor, place: Place, prompts: Sequence[Prompt]) -> int:
    """Queue some texts to be inspected together; return the request's number."""
    release, layers = find_place(session, place)
    parameters = {
        "prompts": [
            prompt.parameters("The text" if len(prompts) == 1 else f"Text {number}")
            for number, prompt in enumerate(prompts, start=1)
        ],
        "layers": layers,
    }
    return queue(session, actor, release, "inspect", parameters)


def ask_comparison(
    session: Session, actor: Actor, place: Place, a: Sequence[Prompt], b: Sequence[Prompt]
) -> int:
    """Queue two sets of texts to be compared; return the request's number."""
    release, layers = find_place(session, place)
    for side, texts_of_side in (("A", a), ("B", b)):
        if not 1 <= len(texts_of_side) <= MOST_TEXTS:
            raise InvalidInputError(
                f"{side} has {len(texts_of_side)} texts; give 1 to {MOST_TEXTS} on each side, and "
                "scan what is more: `scopebook scan`."
            )
    names = prompt_names(len(a) + len(b), len(a))
    prompts = [prompt.parameters(name) for name, prompt in zip(names, [*a, *b], strict=True)]
    parameters = {"prompts": prompts, "n_a": len(a), "layers": layers}
    return queue(session, actor, release, "compare", parameters)


def prompt_names(prompts: int, n_a: int) -> list[str]:
    """Return what sentences call a request's texts, of which the first `n_a` are side A's."""
    if not n_a:
        return ["The text"] * prompts
    sides = [("A", n_a), ("B", prompts - n_a)]
    return [
        f"Text {side}" if count == 1 else f"Text {number} of {side}"
        for side, count in sides
        for number in range(1, count + 1)
    ]


def queue(
    session: Session,
    actor: Actor,
    release: Release,
    kind: inferences.Kind,
    parameters: Mapping[str, Any],
) -> int:
    """Queue a request of an account; return its number."""
    return inferences.ask(
        session,
        account_id=actor.account_id,
        release_id=release.id,
        kind=kind,
        parameters=parameters,
        deadline_s=settings().inference_deadline_s,
    )


def _check_text(which: str, text: str) -> None:
    if not text:
        raise InvalidInputError(f"{which} is empty; give some words.")
    if len(text) > MOST_CHARACTERS:
        raise InvalidInputError(
            f"{which} has {len(text):,} characters and {MOST_CHARACTERS:,} are run live; shorten "
            "it, or run it as a data set: `scopebook scan`."
        )
    try:
        texts.check(text)
    except ValueError as error:
        raise InvalidInputError(f"{which} is no plain text ({error}); give text.") from error


def find_place(session: Session, place: Place) -> tuple[Release, list[int]]:
    """Return the release and its layers; all that have weights where none are named."""
    if not settings().inference_workers and not settings().broker_url:
        raise UnavailableError(
            "No inference worker runs here (SCOPEBOOK_INFERENCE_WORKERS is 0); set it to 1."
        )
    if place.layers is not None and not place.layers:
        raise InvalidInputError("No layer was named; name some, or leave them out for all.")
    release = _release(session, place.model)
    saes = find_saes(session, release=release.name, layers=place.layers)
    model = session.get_one(Model, release.model_id)
    without = sorted(sae.layer for sae in saes if not sae.artifact)
    there = [sae.layer for sae in saes if sae.artifact]
    if not model.path or not there or (place.layers is not None and without):
        which = ", ".join(map(str, without)) or "none"
        raise InvalidInputError(
            f"Layers without weights here: {which} of {release.name}, which came in with a dump; "
            f"fetch them with `scopebook add {release.source}`."
        )
    return release, there


def _release(session: Session, name: str) -> Release:
    of_model = list(
        session.scalars(
            select(Release)
            .join(Model, Model.id == Release.model_id)
            .where((Model.name == name) | Model.name.endswith(f"/{name}", autoescape=True))
            .order_by(Release.name)
        )
    )
    if len(of_model) == 1:
        return of_model[0]
    if of_model:
        raise InvalidInputError(
            f"The model {name!r} has the releases {', '.join(row.name for row in of_model)}; name "
            "one of them instead."
        )
    try:
        return find_release(session, name)
    except NotFoundError as error:
        models = session.scalars(select(Model.name).order_by(Model.name)).all()
        known = ", ".join(models) or "none; add one with `scopebook add`"
        raise NotFoundError(
            f"There is no model and no release {name!r} here; models are: {known}."
        ) from error
