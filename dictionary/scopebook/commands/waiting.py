"""How commands wait for a model: what is going on on stderr, and Ctrl-C cancels."""

import time
from typing import Final

from rich.text import Text

from scopebook import inferences
from scopebook.accounts import local_actor
from scopebook.console import err
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.inferences import InferenceView

_LOOK_S: Final = 0.05


def wait_for(factory: Sessions, inference_id: int) -> bytes:
    """Return the answer to a request of the command line; raise what went wrong.

    One that is left is cancelled.
    """
    with unit_of_work(factory) as session:
        account_id = local_actor(session).account_id
    try:
        with err.status("Waiting for the model ...") as status:
            while True:
                with unit_of_work(factory) as session:
                    state = inferences.read_inference(session, inference_id, account_id=account_id)
                inferences.raise_failure(state)
                if state.state == "done":
                    break
                status.update(Text(_told(state)))
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        with unit_of_work(factory) as session:
            inferences.cancel(session, inference_id, account_id=account_id)
        raise SystemExit(130) from None
    with unit_of_work(factory) as session:
        return inferences.answer_of(session, inference_id, account_id=account_id)


def _told(state: InferenceView) -> str:
    if state.state == "queued":
        before = f"; {state.ahead} before this" if state.ahead else ""
        return f"In the queue{before} ..."
    if state.state == "loading":
        return "Loading the model ..."
    # Of a text that is steered the last variant is told of.
    pieces = state.written[-1] if state.kind == "steer" and state.written else state.written
    written = "".join(piece for piece, _ in pieces)
    return f"Writing: {written[-60:]!r}" if written else "Running the text ..."


def short_name(feature: str) -> str:
    """Return a feature's id without its model's name, which is the same in a whole table."""
    return "/".join(feature.split("/")[-2:])
