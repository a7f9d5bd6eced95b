"""The command `scopebook`: one sentence for every refusal, and exit codes that scripts can use.

Exit 0: done. 1: it could not be done. 2: the input is wrong.
"""

import logging
import sys
from typing import NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import DataError, OperationalError

from scopebook.commands import (
    accounts,
    batches,
    corpora,
    demo,
    doctor,
    drift,
    features,
    fingerprint,
    interchange,
    jobs,
    labels,
    maps,
    releases,
    runs,
    scores,
    tokens,
    up,
    webhooks,
)
from scopebook.console import err
from scopebook.errors import InvalidInputError, NotFoundError, ScopebookError
from scopebook.settings import settings

log = logging.getLogger(__name__)

app = typer.Typer(
    name="scopebook",
    help="The feature dictionary of Qwen-Scope sparse autoencoders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(up.up)
app.command()(demo.demo)
app.command()(releases.add)
app.command()(runs.collect)
app.command()(labels.label)
app.command("map")(maps.draw_map)
app.command()(scores.score)
app.command()(features.search)
app.command()(features.feature)
app.command()(drift.drift)
app.command()(fingerprint.fingerprint)
app.command()(doctor.doctor)
app.command()(accounts.audit)
app.command()(accounts.visibility)
app.command(hidden=True)(jobs.sweep)

corpus = typer.Typer(help="Bodies of text that features are collected over.", no_args_is_help=True)
corpus.command("add")(corpora.add)
corpus.command("list")(corpora.browse)
app.add_typer(corpus, name="corpus")
app.add_typer(batches.batches, name="batch")
app.add_typer(jobs.jobs, name="jobs")
app.add_typer(runs.runs, name="runs")
app.add_typer(accounts.users, name="user")
app.add_typer(tokens.tokens, name="token")
app.add_typer(webhooks.webhooks, name="webhooks")
app.add_typer(interchange.exports, name="export")
app.add_typer(interchange.imports, name="import")


def main() -> None:
    """Run a command and turn refusals into one sentence on stderr."""
    try:
        level = settings().log_level
    except ValidationError as error:
        fault = error.errors()[0]
        _end(f"SCOPEBOOK_{str(fault['loc'][0]).upper()} is not valid: {fault['msg']}.", 2)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        app()
    except ScopebookError as error:
        _end(str(error), 2 if isinstance(error, InvalidInputError | NotFoundError) else 1)
    except (UnicodeEncodeError, DataError):
        _end(
            "The input holds bytes that are no text, a NUL character or a number that the "
            "dictionary cannot hold; take them out.",
            2,
        )
    except OperationalError as error:
        log.debug("The database did not answer", exc_info=error)
        _end("The database does not answer; `scopebook doctor` says where it is looked for.", 1)


def _end(sentence: str, code: int) -> NoReturn:
    """Print the one sentence and end."""
    err.print(f"scopebook: {sentence}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
