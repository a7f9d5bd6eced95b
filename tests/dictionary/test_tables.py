"""What commands print for people: names stay whole, and what is refused names the run."""

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console
from sqlalchemy.orm import Session

from makers import make_corpus, make_evidence, make_examples, make_label, make_release, make_run
from scopebook import console
from scopebook.commands import runs
from scopebook.inventory import take_inventory, what_is_missing
from scopebook.run_reports import RunReport

RELEASE = "Qwen/SAE-Res-Qwen3.5-35B-A3B-Base-W128K-L0_100"


def printed(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    """Print a run in a table, 80 columns wide or through a pipe."""
    written = io.StringIO()
    monkeypatch.setattr(
        console, "out", Console(file=written, width=80, force_terminal=terminal, color_system=None)
    )
    report = RunReport(
        id=12, job_id=15, state="done", release=RELEASE, corpus="a-corpus-with-a-long-name",
        layers=list(range(40)), collected=[], shown=[], max_tokens=None, tokens_seen=123_456_789,
        contexts_seen=1, created_at=datetime.now(UTC), finished_at=None,
    )  # fmt: skip
    console.print_table(runs._table([report]))
    return written.getvalue()


def test_a_table_in_a_pipe_is_as_wide_as_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    said = printed(monkeypatch, terminal=False)

    (row,) = [one for one in said.splitlines() if RELEASE in one]
    assert "a-corpus-with-a-long-name" in row
    assert "0-39" in row


def test_a_table_on_a_narrow_terminal_breaks_names_and_cuts_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = printed(monkeypatch, terminal=True)

    column = "".join(one.split("│")[2].strip() for one in said.splitlines() if "│" in one)
    assert RELEASE in column
    assert "123,456,789" in said
    assert "…" not in said
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", one)) for one in said.splitlines()) <= 80


def test_what_was_collected_before_names_the_run_and_the_one_that_is_shown(
    session: Session,
) -> None:
    saes = make_release(session)
    made = [
        make_run(session, saes, make_corpus(session, ["das 中文 text"], name=name))
        for name in ("old", "new")
    ]
    for run in made:
        for sae in saes:
            make_evidence(session, run, sae, 0, examples=make_examples([]))
    old, new = made

    hidden = runs._nothing_to_do(session, old.job_id, "old", None)
    shown = runs._nothing_to_do(session, new.job_id, "new", [1])

    assert hidden.startswith(f"Nothing to do: run {old.id} (of job {old.job_id}) has collected")
    assert f"For layer 1, 2 the dictionary shows run {new.id};" in hidden
    assert f"`scopebook runs use {old.id}` shows run {old.id}." in hidden
    assert shown.endswith("--anew reads it again.")


def test_an_empty_dictionary_says_what_comes_next(session: Session) -> None:
    said = [what_is_missing(take_inventory(session))]
    saes = make_release(session)
    said.append(what_is_missing(take_inventory(session)))
    documents = make_corpus(session, ["das 中文 text"])
    said.append(what_is_missing(take_inventory(session)))
    run = make_run(session, saes, documents)
    said.append(what_is_missing(take_inventory(session)))
    make_label(session, saes[0], 3, "names of rivers")
    said.append(what_is_missing(take_inventory(session)))

    commands = ("scopebook add", "scopebook corpus add", "scopebook collect", "jobs --watch")
    for sentence, command in zip(said, commands, strict=False):
        assert command in sentence
    assert (run.id > 0, said[-1]) == (True, "")
