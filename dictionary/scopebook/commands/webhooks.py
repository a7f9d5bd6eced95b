"""`scopebook webhooks`: addresses that are told of events."""

from typing import Annotated

import typer
from rich.markup import escape

from scopebook.accounts import local_actor
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.sessions import unit_of_work
from scopebook.outbox import EVENTS
from scopebook.webhooks import (
    add_webhook,
    list_deliveries,
    list_webhooks,
    remove_webhook,
    send_again,
)

webhooks = typer.Typer(
    help="Addresses that are told when a label is accepted or a run has ended.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
WebhookId = Annotated[int, typer.Argument(metavar="ID", help="Its number, which `list` shows.")]


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(help="Where events are sent, by POST.")],
    event: Annotated[
        list[str] | None, typer.Option(help=f"Any of {', '.join(EVENTS)}; if unset, all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let an address be told of events; print the secret of its signatures, this once."""
    with dictionary() as factory, unit_of_work(factory) as session:
        webhook, secret = add_webhook(session, url, event or EVENTS, by=local_actor(session))
    if as_json:
        print_json({"webhook": webhook, "secret": secret})
        return
    told = ", ".join(webhook.events)
    err.print(f"Webhook {webhook.id} is told of {told}.", markup=False, highlight=False)
    out.print(secret, markup=False, highlight=False, soft_wrap=True)


@webhooks.command("list")
def browse(as_json: AsJson = False) -> None:
    """List all webhooks, the newest first."""
    with dictionary() as factory, unit_of_work(factory) as session:
        views = list_webhooks(session, by=local_actor(session))
    if as_json:
        print_json({"items": views, "next": None})
        return
    listed = table("webhook", "address", "events", "account", "waiting", "failed")
    for view in views:
        row = (escape(view.url), ", ".join(view.events), escape(view.account))
        listed.add_row(str(view.id), *row, str(view.waiting), str(view.failed))
    print_table(listed)


@webhooks.command()
def remove(webhook_id: WebhookId) -> None:
    """Tell an address nothing any more; what waits for it is dropped."""
    with dictionary() as factory, unit_of_work(factory) as session:
        remove_webhook(session, webhook_id, by=local_actor(session))
    err.print(f"Webhook {webhook_id} is removed.", markup=False, highlight=False)


@webhooks.command()
def deliveries(
    webhook_id: WebhookId,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what a webhook was told, newest first, and why it was not."""
    with dictionary() as factory, unit_of_work(factory) as session:
        views, following = list_deliveries(
            session, webhook_id, by=local_actor(session), limit=limit
        )
    if as_json:
        print_json({"items": views, "next": following})
        return
    listed = table("delivery", "event", "state", "attempts", "at", "error")
    for view in views:
        row = (view.event, view.state, str(view.attempts), f"{view.created_at:%Y-%m-%d %H:%M}")
        listed.add_row(str(view.id), *row, escape(view.error or ""))
    print_table(listed)


@webhooks.command()
def again(
    webhook_id: WebhookId,
    delivery_id: Annotated[int, typer.Argument(help="Its number, which `deliveries` shows.")],
) -> None:
    """Send a delivery that was given up, or has arrived, once more."""
    with dictionary() as factory, unit_of_work(factory) as session:
        send_again(session, webhook_id, delivery_id, by=local_actor(session))
    err.print(f"Delivery {delivery_id} is sent again.", markup=False, highlight=False)
