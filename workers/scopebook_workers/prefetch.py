"""Read ahead: make the next item of an iterator in a thread while the present one is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, none of which may be None.

    One at most is made before it is asked for, so that memory stays bounded. What making it raises
    is raised here, in its turn. When the caller stops early, the one that is being made is waited
    for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as reader:
        waiting = reader.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = reader.submit(next, items, None)
            yield item
