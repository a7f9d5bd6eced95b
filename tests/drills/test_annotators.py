"""Fifty people annotate at once against one real server, for `DRILL_ANNOTATORS_S` seconds.

Each takes features from the queue and says something of them; between them all comment on a few
features that everybody has open, where most writes meet another one's. `make drill-annotators`
does so for a minute.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select

from annotating import make_actor
from annotation_server import serving
from makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_release,
    make_run,
)
from scopebook.db.review_tables import Change, Comment, CommentVersion, FeatureVersion
from scopebook.db.sessions import Sessions
from scopebook.feature_names import row_ids_of
from scopebook.labelings import NewWording, begin_labeling, publish_keywords, sha256_of
from scopebook.tokens import create_token

SECONDS = float(os.environ.get("DRILL_ANNOTATORS_S", "15"))
PEOPLE = 50
FEATURES = 400
#: Features that everybody writes to.
SHARED = [f"Tiny-Model/1-res-w1k-l0_8/{index}" for index in range(3)]
SEED = int(os.environ.get("DRILL_SEED", "7"))


@dataclass
class Tally:
    """What the people have seen."""

    statuses: Counter[int] = field(default_factory=Counter)
    #: Who has which feature in hand, and features that came to a second hand.
    held: dict[str, str] = field(default_factory=dict)
    twice: list[tuple[str, str, str]] = field(default_factory=list)
    #: Writes that were answered with 200, by feature.
    accepted: Counter[str] = field(default_factory=Counter)
    comments: set[str] = field(default_factory=set)


@dataclass
class Person:
    """One who annotates until the time is up."""

    name: str
    token: str
    client: httpx2.AsyncClient
    tally: Tally
    chance: random.Random
    said: int = 0

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        answer = await self.client.request(method, path, headers=headers, **more)
        self.tally.statuses[answer.status_code] += 1
        return answer

    async def annotate(self, until: float) -> None:
        while time.monotonic() < until:
            if self.chance.random() < 0.4:
                await self.comment(self.chance.choice(SHARED))
            else:
                await self.review_next()

    async def review_next(self) -> None:
        lease = (await self.ask("POST", "/api/queue/next", json={})).json().get("lease")
        if lease is None:
            await self.comment(self.chance.choice(SHARED))
            return
        feature = lease["feature"]["id"]
        other = self.tally.held.get(feature)
        if other is not None and other != self.name:
            self.tally.twice.append((feature, other, self.name))
        self.tally.held[feature] = self.name
        if self.chance.random() < 0.1:
            self.tally.held.pop(feature, None)
            await self.ask("POST", "/api/queue/skip", json={"feature": feature})
        else:
            await self.say(feature, lease["feature"]["label"])

    async def say(self, feature: str, label: dict[str, Any] | None) -> None:
        """Give a verdict or propose a wording, upon what is there."""
        state = (await self.ask("GET", f"/api/features/{feature}/annotation")).json()
        if label is None or self.chance.random() < 0.2:
            path, body = "proposals", {"text": f"a wording by {self.name}"}
        else:
            verdict = self.chance.choice(["accept", "reject", "unsure"])
            path, body = "reviews", {"label_id": label["id"], "verdict": verdict}
        self.tally.held.pop(feature, None)
        if not await self.write(feature, path, body, state["version"]):
            await self.ask("POST", "/api/queue/release", json={"feature": feature})

    async def comment(self, feature: str) -> None:
        self.said += 1
        words = f"{self.name} says {self.said}."
        state = (await self.ask("GET", f"/api/features/{feature}/annotation")).json()
        if await self.write(feature, "comments", {"text": words}, state["version"]):
            self.tally.comments.add(words)

    async def write(self, feature: str, path: str, body: dict[str, Any], version: int) -> bool:
        """Write upon a version; who comes second looks at what is there, and tries again."""
        for _ in range(20):
            answer = await self.ask(
                "POST",
                f"/api/features/{feature}/{path}",
                json=body,
                headers={"If-Match": f'"{version}"'},
            )
            if answer.status_code != 412:
                break
            version = answer.json()["current"]["version"]
        if answer.status_code == 200:
            self.tally.accepted[feature] += 1
        return answer.status_code == 200


@pytest.fixture
def tokens(sessions: Sessions) -> list[str]:
    """Labelled features, and fifty accounts with a token each."""
    with sessions.begin() as session:
        [sae] = make_release(session, layers=[1], d_sae=FEATURES)
        run = make_run(session, [sae], make_corpus(session, ["abcdef"]))
        for index in range(FEATURES):
            make_evidence(session, run, sae, index, examples=make_examples([]))
        wordings = [
            NewWording(
                feature_id=feature_id(sae, index), example_set="a" * 64, text=f"label {index}"
            )
            for index in range(FEATURES)
        ]
        labeling_id = begin_labeling(
            session, sae_id=sae.id, run_id=run.id, source="keywords", method="keywords-1",
            parameters={}, sha256=sha256_of("keywords-1", {}),
        )  # fmt: skip
        publish_keywords(session, labeling_id, wordings)
        people = [make_actor(session, f"person{number}") for number in range(PEOPLE)]
        return [
            create_token(session, "drill", owner=it.name, scope="annotate", days=1, by=it)[1]
            for it in people
        ]


async def _annotate(url: str, tokens: list[str]) -> Tally:
    tally = Tally()
    limits = httpx2.Limits(max_connections=PEOPLE)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        people = [
            Person(f"person{number}", token, client, tally, random.Random(SEED + number))
            for number, token in enumerate(tokens)
        ]
        until = time.monotonic() + SECONDS
        await asyncio.gather(*(person.annotate(until) for person in people))
    return tally


def test_fifty_annotators_lose_nothing_and_share_no_lease(
    database_url: str, sessions: Sessions, tokens: list[str]
) -> None:
    with serving(database_url, by_header=False) as url:
        tally = asyncio.run(_annotate(url, tokens))

    answers = dict(sorted(tally.statuses.items()))
    sys.stderr.write(f"\n{SECONDS:.0f} s, {PEOPLE} people: answers {answers}\n")
    assert {status for status in tally.statuses if status >= 500} == set()
    assert tally.twice == []
    with sessions.begin() as session:
        entries = session.execute(
            select(Change.feature_id, func.count(), func.max(Change.version)).group_by(
                Change.feature_id
            )
        ).all()
        versions = {
            row.feature_id: row.version
            for row in session.execute(select(FeatureVersion.feature_id, FeatureVersion.version))
            if row.version
        }
        keys = row_ids_of(session, list(tally.accepted))
        said = set(
            session.scalars(
                select(CommentVersion.text).join(Comment, Comment.id == CommentVersion.comment_id)
            )
        )
    accepted = {keys[name]: count for name, count in tally.accepted.items()}
    assert sum(accepted.values()) > PEOPLE
    assert {key: count for key, count, _ in entries} == accepted
    assert {key: version for key, _, version in entries} == accepted == versions
    assert said == tally.comments
