"""The command `scopebook`: one sentence for every refusal, and exit codes that scripts can use.

Exit 0: done. 1: it could not be done. 2: the input is wrong.
"""

import logging
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import DataError, OperationalError
from typer.core import TyperGroup
from typer.main import get_group

from scopebook.console import err
from scopebook.errors import InvalidInputError, NotFoundError, QuotaError, ScopebookError
from scopebook.log_setup import set_up_logs

log = logging.getLogger(__name__)

#: Name -> where it stands: a function, or a `Typer` of several. Modules are named, not imported:
#: all of them take as long to import as one command takes for the rest.
_COMMANDS: Final = {
    "up": "up.up",
    "demo": "demo.demo",
    "add": "releases.add",
    "collect": "runs.collect",
    "label": "labels.label",
    "map": "maps.draw_map",
    "score": "scores.score",
    "scan": "scans.scan",
    "scans": "scan_list.scans",
    "search": "features.search",
    "feature": "features.feature",
    "inspect": "inspect.inspect_text",
    "compare": "compare.compare_texts",
    "steer": "steer.steer_text",
    "preset": "presets.presets",
    "drift": "drift.drift",
    "fingerprint": "fingerprint.fingerprint",
    "doctor": "doctor.doctor",
    "worker-health": "worker_health.worker_health",
    "audit": "accounts.audit",
    "visibility": "accounts.visibility",
    "migrate": "team.migrate",
    "serve": "team.serve",
    "worker": "team.worker",
    "sweep": "team.sweep",
    "database": "team.database",
    "corpus": "corpora.corpus",
    "batch": "batches.batches",
    "jobs": "jobs.jobs",
    "runs": "runs.runs",
    "user": "accounts.users",
    "token": "tokens.tokens",
    "webhooks": "webhooks.webhooks",
    "export": "interchange.exports",
    "import": "interchange.imports",
    "backup": "backups.backup",
    "restore": "backups.restore",
}


class Commands(TyperGroup):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None for a name that is none."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(".")
        found = getattr(import_module(f"scopebook.commands.{module}"), name)
        around = typer.Typer(add_completion=False, rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=cmd_name)
        else:
            around.command(cmd_name)(found)
        return get_group(around).commands[cmd_name]


app = typer.Typer(
    name="scopebook",
    help="The feature dictionary of Qwen-Scope sparse autoencoders.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _every_command() -> None:
    """Hold nothing that commands share; typer takes an app without commands only with this."""


def main() -> None:
    """Run a command and turn refusals into one sentence on stderr."""
    try:
        set_up_logs()
    except ValidationError as error:
        fault = error.errors()[0]
        _end(f"SCOPEBOOK_{str(fault['loc'][0]).upper()} is not valid: {fault['msg']}.", 2)
    except InvalidInputError as error:  # of a file that holds a setting
        _end(str(error), 2)
    try:
        app()
    except ScopebookError as error:
        refused = InvalidInputError | NotFoundError | QuotaError
        _end(str(error), 2 if isinstance(error, refused) else 1)
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
