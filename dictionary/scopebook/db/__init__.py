"""The vault: tables, sessions, and the one function that commits.

All tables are there as soon as one is: their foreign keys point to each other, and a process that
knew only some of them could not write to these.
"""

from scopebook.db import (  # noqa: F401 - fill the metadata
    account_tables,
    answer_tables,
    entry_tables,
    import_tables,
    inference_tables,
    jobs,
    label_tables,
    list_tables,
    map_tables,
    preset_tables,
    review_tables,
    scan_tables,
    tables,
    webhook_tables,
    worker_tables,
)
