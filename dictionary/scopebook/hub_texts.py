"""Stream texts from a data set of the Hugging Face hub; nothing is downloaded ahead.

HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured; with the last, a snapshot in the local cache
is read. This module loads slowly: import it where a data set is read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import datasets
import httpx2
import pyarrow as pa
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from scopebook.errors import HubError, InvalidInputError, ScopebookError
from scopebook.hub.refusals import ELSEWHERE, endpoint_shown, hub_refusals
from scopebook.release_names import shown
from scopebook.texts import FIELDS, Problem, Reading, Text, column_of, listed, text_of

_METADATA_TIMEOUT_S: Final = 20.0
_SPLIT: Final = "train"
#: Errors that `hub_refusals` has sentences for.
_OF_THE_HUB: Final = (
    ScopebookError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    httpx2.HTTPError,
)

# Each read is tried six times within half a minute before it counts as one of these.
datasets.config.STREAMING_READ_MAX_RETRIES = 3
# No tensors are made here, and looking whether torch wants some would load it.
datasets.config.TORCH_AVAILABLE = False


def read_dataset(repo_id: str, reading: Reading) -> Iterator[Text | Problem]:
    """Read one text a record, in the order of the data set's files.

    The data set is looked up at once, records are fetched as they are taken. A refusal of the hub
    or a connection that stays broken raises; a record without text is a `Problem`.
    """
    address = f"datasets/{repo_id}"
    with hub_refusals(address, None), _sentences(repo_id, reading):
        rows = _open(repo_id, address, reading)
    return _read(rows, repo_id, reading)


def _open(repo_id: str, address: str, reading: Reading) -> Any:
    split = reading.split or _SPLIT
    datasets.disable_progress_bars()
    if constants.is_offline_mode():
        folder = snapshot_download(repo_id, repo_type="dataset", local_files_only=True)
        rows = datasets.load_dataset(folder, reading.config, split=split, streaming=True)
    else:
        info = HfApi().dataset_info(repo_id, timeout=_METADATA_TIMEOUT_S)
        rows = datasets.load_dataset(
            repo_id, reading.config, split=split, streaming=True, revision=info.sha
        )
    if rows.column_names is not None:
        _check_field(repo_id, reading.text_field, rows.column_names)
        # What is not kept need not be decoded: pictures and sound most of all.
        column = column_of(reading.text_field, rows.column_names)
        wanted = [name for name in rows.column_names if name in (column, *FIELDS)]
        rows = rows.select_columns(wanted)
    return rows


def _check_field(repo_id: str, text_field: str, names: object) -> None:
    if not isinstance(names, list | tuple) or column_of(text_field, names) not in names:
        raise InvalidInputError(
            f"hf:{repo_id} has no field {text_field!r} but {listed(names)}; name the one that "
            "holds the text by --text-field."
        )


def _read(rows: Any, repo_id: str, reading: Reading) -> Iterator[Text | Problem]:
    records = iter(rows)
    number = 0
    while True:
        number += 1
        with hub_refusals(f"datasets/{repo_id}", None), _sentences(repo_id, reading):
            record: Mapping[str, object] | None = next(records, None)
        if record is None:
            return
        if number == 1:
            _check_field(repo_id, reading.text_field, list(record))
        try:
            yield text_of(record, reading.text_field, f"row {number}")
        except ValueError as error:
            yield Problem(f"row {number}", str(error))


@contextmanager
def _sentences(repo_id: str, reading: Reading) -> Iterator[None]:
    """Raise a ScopebookError in place of what `datasets` raises; the hub's errors pass."""
    try:
        yield
    except _OF_THE_HUB:
        raise
    except datasets.exceptions.DatasetNotFoundError as error:
        if "gated" in str(error):
            raise HubError(
                f"hf:{repo_id} is gated: accept its terms at "
                f"{endpoint_shown(None)}/datasets/{repo_id} and set HF_TOKEN to a token of that "
                "account."
            ) from error
        raise InvalidInputError(_unreadable(repo_id, error)) from error
    except ConnectionError as error:
        raise HubError(
            f"the connection to {endpoint_shown(None)} broke off while hf:{repo_id} was read: run "
            f"the same command again, or {ELSEWHERE}."
        ) from error
    except ValueError as error:
        raise _refused_choice(repo_id, reading, error) from error
    except (datasets.exceptions.DatasetsError, pa.ArrowException, OSError) as error:
        raise InvalidInputError(_unreadable(repo_id, error)) from error


def _refused_choice(repo_id: str, reading: Reading, error: ValueError) -> ScopebookError:
    """Tell a split or config that does not exist from data that cannot be read."""
    message = str(error)
    if message.startswith(("Bad split", "Unknown split")):
        there = message.partition("Available splits: ")[2] or message.partition("one of ")[2]
        return InvalidInputError(
            f"hf:{repo_id} has no split {shown(reading.split or _SPLIT)} but "
            f"{there.strip(' []()').rstrip('.') or 'none'}; name one by --split."
        )
    if message.startswith(("BuilderConfig", "Config name is missing")):
        wanted = f"no config {shown(reading.config)}" if reading.config else "several configs"
        there = message.partition("[")[2].partition("]")[0]
        return InvalidInputError(
            f"hf:{repo_id} has {wanted}; name one of {there or 'its own'} by --config."
        )
    return InvalidInputError(_unreadable(repo_id, error))


def _unreadable(repo_id: str, error: BaseException) -> str:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return (
        f"hf:{repo_id} cannot be read as a data set ({lines[0].rstrip('.')[:200]}); "
        "give one with Parquet, JSON, CSV or text files, or the path of a local folder."
    )
