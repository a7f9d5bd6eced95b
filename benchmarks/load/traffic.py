"""What Locust runs: people who come at a constant rate, each doing the next action of a plan.

Locust reads it in an environment of its own, so it imports nothing of Scopebook. Every action has a
moment at which it is due, whatever became of those before it, and times count from then: a server
that stalls is not spared the requests that would have come meanwhile. What was sent is written to
`LOAD_RECORDS`, a JSON array a line: kind, what, due, begun and ended (seconds), status.
"""

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group
from locust import FastHttpUser, events, task
from locust.exception import StopUser

#: Everybody comes again after so long; an action that takes longer delays its person's next one.
PERIOD_S = 10.0
#: So long somebody stays on a feature's page, whose event stream is open meanwhile.
STAY_S = 5.0

PLAN = json.loads(Path(os.environ["LOAD_PLAN"]).read_text())
TOKENS: list[str] = json.loads(os.environ["LOAD_TOKENS"])
RATE = float(os.environ["LOAD_RATE"])
SECONDS = float(os.environ["LOAD_SECONDS"])
RECORDS = Path(os.environ["LOAD_RECORDS"])
PEOPLE = int(os.environ["LOAD_PEOPLE"])

_numbers = itertools.count()
_actions: Iterator[dict[str, Any]] = iter(PLAN)
_records: list[list[Any]] = []
_clock = {"begin": 0.0, "left": PEOPLE}


@events.test_start.add_listener
def _begin(**_: Any) -> None:
    _clock["begin"] = time.time() + 1 + PEOPLE / 200


@events.test_stop.add_listener
def _write(**_: Any) -> None:
    RECORDS.write_text("".join(json.dumps(record) + "\n" for record in _records))


class Person(FastHttpUser):
    """Somebody who comes every `PERIOD_S`, at a moment that nobody else has."""

    #: The answer to a request that is lost counts as an error, and not as none.
    network_timeout = connection_timeout = 30.0

    def on_start(self) -> None:
        """Wait for one's own place in the period."""
        self.due = _clock["begin"] + next(_numbers) / RATE
        gevent.sleep(max(0.0, self.due - time.time()))

    def on_stop(self) -> None:
        """End the run with the last one's end."""
        _clock["left"] -= 1
        if not _clock["left"]:
            gevent.spawn_later(0.1, self.environment.runner.quit)

    def wait_time(self) -> float:
        """Return the seconds until one is due again."""
        self.due += PEOPLE / RATE
        return max(0.0, self.due - time.time())

    @task
    def act(self) -> None:
        """Do the next action of the plan."""
        if self.due >= _clock["begin"] + SECONDS:
            raise StopUser
        action = next(_actions)
        getattr(self, f"_{action['kind']}")(action, self.due)

    def _search(self, action: dict[str, Any], due: float) -> None:
        self._ask("search", "search", "GET", action["path"], action, due)

    def _inspect(self, action: dict[str, Any], due: float) -> None:
        self._ask("inspect", "inspect", "POST", "/api/inspect", action, due, body=action["body"])

    def _page(self, action: dict[str, Any], due: float) -> None:
        """Ask all that the page asks when somebody goes to a feature, at once as a browser does."""
        path = action["path"]
        calls = {"feature": "", "annotation": "/annotation", "alike": "/alike"}
        asked = Group()
        for what, more in calls.items():
            asked.spawn(self._ask, "page", what, "GET", path + more, action, due)
        asked.spawn(self._ask, "page", "status", "GET", "/api/status", action, due)
        watching = gevent.spawn(self._watch, action, due)
        asked.join()
        _records.append(["whole page", "all but live", due, due, time.time(), 200])
        watching.join()

    def _watch(self, action: dict[str, Any], due: float) -> None:
        path = f"{action['path']}/live?viewer=load{id(self)}"
        response = self._ask("page", "live", "GET", path, action, due, stream=True)
        gevent.sleep(STAY_S)
        if response is not None:
            response.release()

    def _annotate(self, action: dict[str, Any], due: float) -> None:
        """Read what was said, then write upon that version; the write is due when it is read."""
        path = f"{action['path']}/annotation"
        read = self._ask("page", "annotation", "GET", path, action, due)
        headers = {
            "If-Match": read.headers["ETag"] if read else "",
            "Idempotency-Key": action["key"],
        }
        path, body = f"{action['path']}/{action['what']}", action["body"]
        due = time.time()
        self._ask("annotate", action["what"], "POST", path, action, due, body=body, more=headers)

    def _ask(
        self,
        kind: str,
        what: str,
        method: str,
        path: str,
        action: dict[str, Any],
        due: float,
        *,
        body: Any = None,
        more: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Any:
        """Send one request upon a connection of its own and note it; None where it failed."""
        headers = {"Authorization": f"Bearer {TOKENS[action['who']]}", "Connection": "close"}
        begun = time.time()
        response = self.client.request(
            method,
            path,
            f"{kind}: {what}",
            json=body,
            headers=headers | (more or {}),
            stream=stream,
        )
        status = response.status_code
        if stream and status == 200:
            response = response._response
            # The first event is what the page waits for.
            status = 200 if response.readline(b"\n\n") else 0
        _records.append([kind, what, due, begun, time.time(), status])
        return response if status == 200 else None
