"""Every job has a task and a consumer; what is generated is current."""

import json
import subprocess
import sys
from pathlib import Path

from scopebook import jobs
from scopebook.settings import Settings, settings_table
from scopebook_api.openapi import schema
from scopebook_workers.app import app

ROOT = Path(__file__).parents[2]


def test_every_step_kind_has_a_task() -> None:
    app.loader.import_default_modules()

    tasks = {name for name in app.tasks if not name.startswith("celery.")}

    assert tasks == {*jobs.QUEUE_OF, jobs.INFER}


def test_every_kind_in_jobs_has_a_queue() -> None:
    names = {
        value
        for name, value in vars(jobs).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }

    assert names == {*jobs.QUEUE_OF, jobs.INFER}
    assert all(jobs.queue_of(name) for name in names)


def test_the_committed_schema_is_current() -> None:
    committed = json.loads((ROOT / "frontend/openapi.json").read_text())

    assert committed == schema(), "run `make openapi`"


def test_the_table_of_settings_is_current() -> None:
    assert settings_table() in (ROOT / "docs/settings.md").read_text(), "run `make openapi`"


def test_every_setting_explains_itself() -> None:
    unexplained = [name for name, field in Settings.model_fields.items() if not field.description]

    assert unexplained == []


def test_a_process_that_knows_one_table_knows_those_it_points_to() -> None:
    # In a process of its own: here all tables are loaded already.
    look = "import scopebook.db.label_tables as t; t.Base.metadata.sorted_tables"

    subprocess.run([sys.executable, "-c", look], check=True)
