"""Sizes of files as people read them."""

import pytest

from scopebook.sizes import size_text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "nothing"),
        (1, "1 kB"),
        (48_200, "48 kB"),
        (999_499, "999 kB"),
        (999_501, "1.0 MB"),
        (1_100_000, "1.1 MB"),
        (9_960_000, "10 MB"),
        (537_010_176, "537 MB"),
        (999_600_000, "1.0 GB"),
        (12_888_244_224, "12.9 GB"),
        (1_010_000_000_000, "1.0 TB"),
    ],
)
def test_sizes_are_said_as_download_pages_say_them(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
