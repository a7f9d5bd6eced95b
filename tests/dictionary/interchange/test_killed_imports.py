"""An import that was killed goes on where it was: nothing lost, nothing twice, none half shown."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from dictionary.interchange.conftest import Instance
from dictionary.interchange.damage import change_rows
from scopebook.db.import_tables import DumpImport, ImportedRow
from scopebook.db.label_tables import Label, Labeling
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Sae
from scopebook.errors import ConflictError
from scopebook.interchange.content_hash import content_hash
from scopebook.interchange.parquet_in import import_parquet

ROOT = Path(__file__).parents[3]


def url_of(factory: Sessions) -> str:
    engine = factory.kw["bind"]
    assert isinstance(engine, Engine)
    return engine.url.render_as_string(hide_password=False)


def killed_import(factory: Sessions, dump: Path, data_dir: Path, *where: str) -> None:
    """Read the dump in a process of its own that is killed at that place."""
    program = ROOT / "tests/dictionary/interchange/killed_import.py"
    done = subprocess.run(
        [sys.executable, program, url_of(factory), dump, data_dir, *where],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def hashes(factory: Sessions) -> dict[str, str]:
    with factory() as session:
        return content_hash(session, list(session.scalars(select(Sae)))).tables


@pytest.mark.parametrize(
    ("table", "batch", "moment"),
    [
        ("features", "1", "after"),
        ("contexts", "1", "before"),
        ("statistics", "3", "before"),
        ("statistics", "4", "after"),
        ("labels", "1", "before"),
        ("labels", "1", "after"),
        ("scores", "1", "after"),
        ("history", "1", "before"),
    ],
)
def test_a_killed_import_goes_on_and_ends_as_if_nothing_had_been(
    source: Sessions,
    dump: Path,
    instance: Instance,
    data_dir: Path,
    table: str,
    batch: str,
    moment: str,
) -> None:
    target = instance()
    killed_import(target, dump, data_dir, table, batch, moment)
    assert_nothing_is_shown(target)

    report = import_parquet(target, dump)

    assert report.resumed
    assert report.equal is True
    assert hashes(target) == hashes(source)
    counted = {name: counts.read for name, counts in report.tables.items()}
    assert (counted["statistics"], counted["examples"], counted["labels"]) == (10, 22, 19)
    with target() as session:
        assert session.scalar(select(ImportedRow)) is None


def assert_nothing_is_shown(factory: Sessions) -> None:
    with factory() as session:
        assert set(session.scalars(select(Sae.current_run_id))) == {None}
        assert not session.scalars(select(Label.id).where(Label.current)).all()
        ended = select(Labeling.id).where(Labeling.finished_at.is_not(None))
        assert not session.scalars(ended).all()


def test_an_import_that_was_killed_twice_counts_its_refusals_once(
    dump: Path, instance: Instance, data_dir: Path
) -> None:
    def spoil(rows: list[dict[str, object]]) -> None:
        rows[1]["decoder_norm"] = float("nan")

    change_rows(dump, "features", spoil)
    target = instance()
    killed_import(target, dump, data_dir, "features", "1", "before")
    killed_import(target, dump, data_dir, "labels", "1", "after")

    report = import_parquet(target, dump)

    of_features = [one for one in report.refusals if one.file.startswith("features")]
    assert [(one.row, one.reason) for one in of_features] == [
        (2, "decoder_norm is not a finite number")
    ]
    assert report.refusals_file is not None
    assert len(Path(report.refusals_file).read_text().splitlines()) == report.refused


def test_two_imports_of_one_dump_at_once_do_not_write_twice(dump: Path, instance: Instance) -> None:
    target = instance()
    others = iter([dump])

    def told(table: str, rows: int) -> None:
        other = next(others, None) if table == "documents" else None
        if other is not None:
            import_parquet(target, other)

    with pytest.raises(ConflictError, match="is being read by another import as well"):
        import_parquet(target, dump, told=told)

    with target() as session:
        [row] = session.scalars(select(DumpImport))
        assert row.finished_at is not None
        assert session.scalar(text("SELECT count(*) FROM label")) == 19
