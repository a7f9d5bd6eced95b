import threading
from collections.abc import Iterator

import pytest

from scopebook_workers.prefetch import ahead


def test_items_come_in_their_order() -> None:
    assert list(ahead(iter(range(1, 20)))) == list(range(1, 20))
    assert list(ahead(iter([]))) == []


def test_the_next_item_is_made_while_the_last_one_is_used_and_no_further() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in (1, 2, 3, 4):
            made.append(number)
            if number == 2:
                second.set()
            yield number

    reader = ahead(items())
    next(reader)

    assert second.wait(5)
    assert made == [1, 2]
    reader.close()


def test_an_error_comes_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    reader = ahead(items())

    assert next(reader) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(reader)
