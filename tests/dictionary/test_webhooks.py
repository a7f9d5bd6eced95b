"""Webhooks: events are told once they have happened, signed, to who may know and nobody else."""

import base64
import hashlib
import hmac
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from annotating import hold, make_reviewable, say
from people import make_actor
from scopebook import addresses
from scopebook.account_changes import change_role, disable_account
from scopebook.accounts import Actor, local_actor
from scopebook.addresses import is_public, look_up
from scopebook.db.label_tables import Label
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Release, Run, Sae
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.deliveries import PAUSES_S, deliver_once, take_due
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.feature_writes import open_write
from scopebook.histories import undo_change
from scopebook.jobs import COLLECT_SHARD
from scopebook.outbox import EVENTS
from scopebook.reviews import pin_label, review_label
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, add_steps, cancel_job
from scopebook.visibility import set_visibility
from scopebook.webhooks import add_webhook, list_deliveries, list_webhooks, send_again
from webhook_receiver import Receiver, receiver

HOOK = "http://192.0.2.7/hook"


@pytest.fixture
def to_private() -> Iterator[None]:
    """Let webhooks lead to this machine."""
    before = settings()
    use_settings(before.model_copy(update={"webhooks_to_private": True}))
    yield
    use_settings(before)


@dataclass
class Labelled:
    """A feature with a label by a model, and who may say something of it."""

    sae: Sae
    run: Run
    label: Label
    editor: Actor
    others: list[Actor]


@pytest.fixture
def labelled(session: Session, to_private: None) -> Labelled:
    editor = make_actor(session, "eve", "editor")
    sae, run = make_reviewable(session)
    _, label = say(session, sae, run, "names of rivers")
    others = [make_actor(session, name, "annotator") for name in ("ada", "ben")]
    return Labelled(sae, run, label, editor, others)


def told(session: Session) -> list[tuple[str, dict[str, object]]]:
    rows = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))
    return [(row.event, row.payload) for row in rows]


def judge(session: Session, on: Labelled, who: Actor, verdict: str) -> int:
    return review_label(session, hold(session, who, on.sae), on.label.id, verdict, None).id  # type: ignore[arg-type]


def test_a_label_is_told_of_when_people_come_to_accept_it(
    session: Session, labelled: Labelled
) -> None:
    add_webhook(session, HOOK, ["label.accepted"], by=labelled.editor)
    ada, ben = labelled.others

    judge(session, labelled, ada, "reject")
    assert told(session) == []
    judge(session, labelled, ben, "accept")
    assert told(session) == []
    change = judge(session, labelled, ada, "accept")
    judge(session, labelled, ben, "unsure")

    [(event, payload)] = told(session)
    assert event == "label.accepted"
    assert payload["feature"] == "Tiny-Model/1-res-w1k-l0_8/0"
    assert (payload["by"], payload["clause"], payload["sense"]) == ("ada", "accepted", None)
    assert payload["label"]["text"] == "names of rivers"  # type: ignore[index]
    undo_change(session, hold(session, ada, labelled.sae), change, None)
    judge(session, labelled, ada, "accept")
    assert len(told(session)) == 2


def test_a_pinned_label_is_told_of_as_one_that_is_accepted(
    session: Session, labelled: Labelled
) -> None:
    add_webhook(session, HOOK, EVENTS, by=labelled.editor)

    write = hold(session, labelled.editor, labelled.sae)
    pin_label(session, write, labelled.label.id, sense=None, reason="settled")

    [(_, payload)] = told(session)
    assert (payload["clause"], payload["by"]) == ("pinned", "eve")


def test_a_run_is_told_of_when_it_has_ended(session: Session, labelled: Labelled) -> None:
    add_webhook(session, HOOK, ["run.ended"], by=labelled.editor)
    job_id = labelled.run.job_id
    add_steps(session, job_id, [NewStep(kind=COLLECT_SHARD, stage=0, title="Shard")])

    cancel_job(session, job_id)

    [(event, payload)] = told(session)
    assert event == "run.ended"
    assert (payload["run"], payload["job"], payload["state"]) == (
        labelled.run.id,
        job_id,
        "cancelled",
    )
    assert (payload["corpus"], payload["layers"]) == ("tiny", [1])


def test_nobody_is_told_what_they_may_not_see(session: Session, labelled: Labelled) -> None:
    shut_out, demoted = (make_actor(session, name, "editor") for name in ("gil", "dan"))
    for owner in (labelled.editor, shut_out, demoted):
        add_webhook(session, HOOK, EVENTS, by=owner)
    admin = local_actor(session)
    disable_account(session, "gil", by=admin)
    change_role(session, "dan", "annotator", by=admin)
    release = session.scalars(select(Release.name)).one()

    judge(session, labelled, labelled.others[0], "accept")
    assert [row.account for row in list_webhooks(session, by=admin) if row.waiting] == ["eve"]
    set_visibility(session, release, role="admin", accounts=["ada"], by=admin)
    judge(session, labelled, labelled.others[0], "withdrawn")
    judge(session, labelled, labelled.others[0], "accept")

    assert len(told(session)) == 1


def test_an_editor_sees_own_webhooks_alone_and_never_a_secret(
    session: Session, labelled: Labelled
) -> None:
    other = make_actor(session, "gil", "editor")
    view, secret = add_webhook(session, HOOK, EVENTS, by=labelled.editor)

    assert list_webhooks(session, by=other) == []
    assert [found.id for found in list_webhooks(session, by=labelled.editor)] == [view.id]
    with pytest.raises(NotFoundError, match="of yours"):
        list_deliveries(session, view.id, by=other)
    assert secret.removeprefix("whsec_") not in repr(list_webhooks(session, by=labelled.editor))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.org/", "no address"),
        ("https://", "no address"),
        ("http://a b/", "no address"),
        ("http://example.org:99999/", "no address"),
        ("http://example.org:0/", "no address"),
        ("http://exämple.org/", "no address"),
        ("https://me:s3cret@example.org/", "password"),
        ("http://no-such-host.invalid/", "not known"),
        ("http://localhost:8000/", "private network"),
        ("http://127.1/", "private network"),
        ("http://2130706433/", "private network"),
        ("http://0x7f.0.0.1/", "private network"),
        ("http://[::1]/", "private network"),
        ("http://[::ffff:10.0.0.1]/", "private network"),
        ("http://169.254.169.254/latest/meta-data/", "private network"),
        ("http://192.168.1.1/", "private network"),
    ],
)
def test_an_address_that_leads_inside_or_nowhere_is_refused(
    session: Session, url: str, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said) as refusal:
        add_webhook(session, url, EVENTS, by=local_actor(session))

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::1", False),
    ],
)
def test_addresses_are_public_or_not_whatever_they_are_wrapped_in(
    address: str, public: bool
) -> None:
    assert is_public(address) is public


def test_a_host_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(None, None, None, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(InvalidInputError, match="private network"):
        look_up("http://two-faced.example/", private=False)


@pytest.fixture
def waiting(sessions: Sessions, to_private: None) -> Iterator[tuple[Receiver, str]]:
    """A receiver for which one delivery waits, and its secret."""
    with receiver() as listening:
        with unit_of_work(sessions) as session:
            made, secret = add_webhook(session, listening.url, EVENTS, by=local_actor(session))
            told = {"run": 7, "说": "é"}
            session.add(WebhookDelivery(webhook_id=made.id, event="run.ended", payload=told))
        yield listening, secret


def rows(sessions: Sessions) -> list[tuple[str, int, str | None]]:
    with unit_of_work(sessions) as session:
        found = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))
        return [(row.state, row.attempts, row.error) for row in found]


def make_due(sessions: Sessions) -> None:
    with unit_of_work(sessions) as session:
        session.execute(update(WebhookDelivery).values(due_at=func.now()))


def test_what_arrives_is_signed_and_sent_once(
    sessions: Sessions, waiting: tuple[Receiver, str]
) -> None:
    listening, secret = waiting

    assert len(deliver_once(sessions)) == 1
    assert list(deliver_once(sessions)) == []

    [got] = listening.requests
    name, timestamp = got.headers["webhook-id"], got.headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{name}.{timestamp}.".encode() + got.body
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{right}"
    assert got.headers["host"] == listening.url.split("/")[2]
    body = json.loads(got.body)
    assert (body["id"], body["type"], body["data"]) == (name, "run.ended", {"run": 7, "说": "é"})
    assert rows(sessions) == [("sent", 1, None)]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_does_not_arrive_waits_and_is_given_up_in_the_end(
    sessions: Sessions, waiting: tuple[Receiver, str], status: int
) -> None:
    listening, _ = waiting
    listening.status = status

    deliver_once(sessions)
    assert list(deliver_once(sessions)) == []  # not due yet
    assert rows(sessions) == [("waiting", 1, f"The receiver answered {status}, and not 2xx.")]
    for _ in PAUSES_S:
        make_due(sessions)
        deliver_once(sessions)

    assert rows(sessions)[0][:2] == ("failed", len(PAUSES_S) + 1)
    assert len(listening.requests) == len(PAUSES_S) + 1  # no redirect was followed
    listening.status = 204
    with unit_of_work(sessions) as session:
        webhook_id = session.scalars(select(Webhook.id)).one()
        send_again(session, webhook_id, 1, by=local_actor(session))
    deliver_once(sessions)
    assert rows(sessions) == [("sent", 1, None)]


def test_an_address_that_has_come_to_lead_inside_is_not_asked(
    sessions: Sessions, waiting: tuple[Receiver, str], caplog: pytest.LogCaptureFixture
) -> None:
    listening, secret = waiting
    use_settings(settings().model_copy(update={"webhooks_to_private": False}))

    with caplog.at_level(logging.DEBUG):
        deliver_once(sessions)

    assert listening.requests == []
    [(state, _, error)] = rows(sessions)
    assert state == "waiting"
    assert error is not None
    assert "private network" in error
    assert secret not in caplog.text + error


def test_a_rolled_back_event_is_told_to_nobody(
    sessions: Sessions, waiting: tuple[Receiver, str]
) -> None:
    deliver_once(sessions)
    with unit_of_work(sessions) as session:
        sae, run = make_reviewable(session)
        _, label = say(session, sae, run, "names of rivers")
        key, label_id = label.feature_id, label.id

    with sessions() as session:
        write = open_write(session, local_actor(session), key, None)
        review_label(session, write, label_id, "accept", None)
        assert len(told(session)) == 2
        session.rollback()

    assert list(deliver_once(sessions)) == []


def test_two_processes_take_no_delivery_twice(
    sessions: Sessions, waiting: tuple[Receiver, str]
) -> None:
    with unit_of_work(sessions) as one, unit_of_work(sessions) as other:
        assert [len(take_due(one)), len(take_due(other))] == [1, 0]


_SENDER = """
import sys
from scopebook.db.sessions import sessions_for
from scopebook.deliveries import deliver_once
deliver_once(sessions_for(sys.argv[1]))
"""


def test_a_sender_that_is_killed_while_it_sends_loses_nothing(
    sessions: Sessions, waiting: tuple[Receiver, str], database_url: str
) -> None:
    listening, _ = waiting
    sender: list[subprocess.Popen[bytes]] = []
    listening.on_request = lambda: sender[0].kill()
    sender.append(
        subprocess.Popen(
            [sys.executable, "-c", _SENDER, database_url],
            env={"SCOPEBOOK_WEBHOOKS_TO_PRIVATE": "true"},
        )
    )
    assert sender[0].wait(60) == -9
    assert rows(sessions) == [("waiting", 1, None)]

    listening.on_request = lambda: None
    assert list(deliver_once(sessions)) == []  # it is the other's for two minutes
    make_due(sessions)
    deliver_once(sessions)

    first, second = listening.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert rows(sessions) == [("sent", 2, None)]
