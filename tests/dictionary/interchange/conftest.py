"""A dump of a dictionary that holds something of everything, and instances to read it into."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from conftest import _administer, copy_template
from dumps import make_dictionary
from scopebook.db.sessions import Sessions
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.interchange.parquet_out import export_parquet
from scopebook.settings import settings, use_settings

Instance = Callable[[], Sessions]


@pytest.fixture
def instance(postgres: EmbeddedPostgres, template: str) -> Iterator[Instance]:
    """Make empty instances, each with a database of its own."""
    made = []

    def make() -> Sessions:
        name = f"test_{os.urandom(6).hex()}"
        copy_template(postgres, template, name)
        engine = create_engine(postgres.url(name))
        made.append((name, engine))
        return sessionmaker(engine, expire_on_commit=False)

    yield make
    for name, engine in made:
        engine.dispose()
        _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def source(instance: Instance) -> Sessions:
    """An instance with the dictionary."""
    factory = instance()
    with factory.begin() as session:
        make_dictionary(session)
    return factory


@pytest.fixture(scope="session")
def any_dump(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A dump of such a dictionary, that of the database `dumped`; nobody changes either."""
    path = tmp_path_factory.mktemp("dumps") / "dump"
    copy_template(postgres, template, "dumped")
    engine = create_engine(postgres.url("dumped"))
    with sessionmaker(engine, expire_on_commit=False).begin() as session:
        make_dictionary(session)
        export_parquet(session, path)
    engine.dispose()
    return path


@pytest.fixture
def dump(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A dump of the test's own: of its `source` where it asks for one."""
    path = tmp_path / "dump"
    if "source" in request.fixturenames:
        with request.getfixturevalue("source")() as session:
            export_parquet(session, path)
    else:
        shutil.copytree(request.getfixturevalue("any_dump"), path)
    return path


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own, where files of refusals go."""
    before = settings()
    use_settings(before.model_copy(update={"data_dir": tmp_path / "data"}))
    yield tmp_path / "data"
    use_settings(before)
