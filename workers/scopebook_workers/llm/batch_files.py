"""OpenAI-style batch files: write requests, see what is answered, read the answers in any order.

Hosts answer them at half the price within a day; `vllm run-batch` reads and writes the same format.
"""

import filecmp
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from scopebook.errors import ConflictError, InvalidInputError
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest, ErrorClass
from scopebook_workers.llm.protocol import Dialect, Structure, read_answer

MAX_REQUESTS: Final = 50_000
MAX_BYTES: Final = 100_000_000
_URL: Final = "/v1/chat/completions"
#: Stands in for the request where an answer's tokens are not reported; it counts nothing.
_UNKNOWN: Final = ChatRequest(key="", messages=())
_SHOWN: Final = 5


def write_batches(
    requests: Iterable[ChatRequest],
    folder: Path,
    *,
    model: str,
    answered: Collection[str] = (),
    structure: Structure = "json_schema",
    max_requests: int = MAX_REQUESTS,
    max_bytes: int = MAX_BYTES,
) -> list[Path]:
    """Write `batch-0001.jsonl`, .. into `folder`, without requests whose key is in `answered`.

    The same requests give the same bytes; all files appear at once when the last is whole, or none
    does. Raises InvalidInputError for a key that comes twice or a request larger than a file may
    be, and ConflictError when the folder holds batch files of other requests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as hidden:
        parts = _Parts(Path(hidden), max_requests=max_requests, max_bytes=max_bytes)
        done = frozenset(answered)
        try:
            for request in requests:
                if request.key not in done:
                    parts.add(request.key, _line(request, model, structure))
        finally:
            parts.close()
        _refuse_others(folder, parts.files)
        return [file.replace(folder / file.name) for file in parts.files]


def requested(folder: Path) -> frozenset[str]:
    """Return the keys of the requests that `write_batches` has written to a folder."""
    keys = set()
    for file in sorted(folder.glob("batch-*.jsonl")):
        with file.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                try:
                    keys.add(str(json.loads(line)["custom_id"]))
                except (ValueError, KeyError, TypeError) as error:
                    raise InvalidInputError(
                        f"{file}:{number} is no request; write the requests again to another "
                        "folder, and put the answers there."
                    ) from error
    return frozenset(keys)


class _Parts:
    """Files that are being written, each up to its limits."""

    def __init__(self, folder: Path, *, max_requests: int, max_bytes: int) -> None:
        self._folder, self._max_requests, self._max_bytes = folder, max_requests, max_bytes
        self.files: list[Path] = []
        self._keys: set[str] = set()
        self._open: Any = None
        self._requests = self._bytes = 0

    def add(self, key: str, line: bytes) -> None:
        if not key or key in self._keys:
            raise InvalidInputError(
                f"the key {key!r} names two requests, or none; give each request a key of its own."
            )
        if len(line) > self._max_bytes:
            raise InvalidInputError(
                f"the request {key!r} takes {len(line):,} bytes, more than the {self._max_bytes:,} "
                "a batch file may have; shorten it."
            )
        full = self._requests >= self._max_requests or self._bytes + len(line) > self._max_bytes
        if self._open is None or full:
            self._next()
        self._keys.add(key)
        self._open.write(line)
        self._requests += 1
        self._bytes += len(line)

    def close(self) -> None:
        if self._open is not None:
            self._open.flush()
            os.fsync(self._open.fileno())
            self._open.close()
            self._open = None

    def _next(self) -> None:
        self.close()
        file = self._folder / f"batch-{len(self.files) + 1:04d}.jsonl"
        self.files.append(file)
        self._open = file.open("wb")
        self._requests = self._bytes = 0


def _line(request: ChatRequest, model: str, structure: Structure) -> bytes:
    # A host refuses a field it does not know for each line, and there is nobody to ask again.
    dialect = Dialect(structure=structure, with_template_options=False)
    content = {
        "custom_id": request.key,
        "method": "POST",
        "url": _URL,
        "body": dialect.body(request, model),
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode(errors="replace") + b"\n"


def _refuse_others(folder: Path, files: Sequence[Path]) -> None:
    fresh = {file.name: file for file in files}
    for present in sorted(folder.glob("batch-*.jsonl")):
        new = fresh.get(present.name)
        if new is None or not filecmp.cmp(new, present, shallow=False):
            raise ConflictError(
                f"{present} holds other requests than these; read its answers first and delete it, "
                "or give another folder."
            )


@dataclass(kw_only=True)
class BatchProblems:
    """What was wrong with answer files: complete once all answers were read."""

    #: Lines that are no answer: "FILE:LINE: why".
    malformed: list[str] = field(default_factory=list)
    #: Keys that were answered more than once; the first good answer counts.
    duplicates: list[str] = field(default_factory=list)
    #: Keys that nobody asked for.
    unknown: list[str] = field(default_factory=list)
    #: Keys without any answer.
    missing: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Return one sentence for each kind of problem."""
        said = {
            "lines are no answers": self.malformed,
            "requests were answered more than once": self.duplicates,
            "answers are to requests not in this run": self.unknown,
            "requests have no answer yet": self.missing,
        }
        return [
            f"{len(found):,} {what}: {', '.join(found[:_SHOWN])}"
            + (", .." if len(found) > _SHOWN else "")
            for what, found in said.items()
            if found
        ]


class BatchAnswers:
    """The answers in output and error files, each key once, in the order of the keys."""

    def __init__(self, files: Sequence[Path], *, asked: Collection[str] | None = None) -> None:
        """`asked`: the keys of the requests, to tell what is missing and what is foreign.

        Raises InvalidInputError for a file that cannot be read.
        """
        self.problems = BatchProblems()
        self._asked = None if asked is None else frozenset(asked)
        self._files = tuple(files)
        #: Key -> file, place of the line, and whether it is a good answer.
        self._found: dict[str, tuple[Path, int, bool]] = {}
        for file in self._files:
            self._look_through(file)
        if self._asked is not None:
            self.problems.missing = sorted(self._asked - self._found.keys())

    def __iter__(self) -> Iterator[tuple[str, ChatAnswer | ChatFailedError]]:
        """Yield each key with its answer, or with why it has none."""
        for key in sorted(self._found):
            file, place, _ = self._found[key]
            with file.open("rb") as opened:
                opened.seek(place)
                yield key, _read(json.loads(opened.readline()))

    def answered(self) -> frozenset[str]:
        """Return the keys with a good answer: what need not be asked again."""
        return frozenset(key for key, (_, _, good) in self._found.items() if good)

    def _look_through(self, file: Path) -> None:
        try:
            with file.open("rb") as opened:
                place = 0
                for number, line in enumerate(opened, start=1):
                    if line.strip():
                        self._note(file, place, number, line)
                    place += len(line)
        except OSError as error:
            raise InvalidInputError(
                f"the answers {file} cannot be read ({error.strerror}); give the output and error "
                "files of the batch."
            ) from error

    def _note(self, file: Path, place: int, number: int, line: bytes) -> None:
        try:
            content = json.loads(line)
            key = content["custom_id"]
            if not isinstance(key, str) or not ({"response", "error"} & content.keys()):
                raise KeyError("response")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = "no JSON" if isinstance(error, ValueError) else "no custom_id with a response"
            self.problems.malformed.append(f"{file.name}:{number}: {why}")
            return
        if self._asked is not None and key not in self._asked:
            self.problems.unknown.append(key)
            return
        good = isinstance(_read(content), ChatAnswer)
        before = self._found.get(key)
        if before is not None:
            self.problems.duplicates.append(key)
        if before is None or (good and not before[2]):
            self._found[key] = (file, place, good)


def _read(content: dict[str, Any]) -> ChatAnswer | ChatFailedError:
    response, error = content.get("response"), content.get("error")
    if not isinstance(response, dict):
        return ChatFailedError(
            _class_of(None, str(error)), f"the batch has no answer: {str(error)[:300]}"
        )
    status, body = response.get("status_code"), response.get("body")
    if status != 200:
        return ChatFailedError(
            _class_of(status, str(body)), f"the batch answered {status}: {str(body)[:300]}"
        )
    try:
        return read_answer(body if isinstance(body, dict) else str(body), _UNKNOWN)
    except ChatFailedError as failed:
        return failed


def _class_of(status: object, said: str) -> ErrorClass:
    if status == 429 or "rate_limit" in said:
        return "rate"
    if "expired" in said or "timeout" in said:
        return "timeout"
    if "content_filter" in said:
        return "refused"
    if "context_length" in said:
        return "length"
    return "server" if isinstance(status, int) and status >= 500 else "protocol"
