import pytest
from tests.workers.tasks.panels import make_panel
from tests.workers.tasks.test_label import make_dictionary

from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Run, Sae


@pytest.fixture
def dictionary(worker: Sessions) -> tuple[Sae, Run]:
    """Return an SAE with the examples of five features, and their run, which has a panel."""
    with unit_of_work(worker) as session:
        sae, run = make_dictionary(session)
    make_panel(worker, sae, run)
    return sae, run
