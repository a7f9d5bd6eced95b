"""Markup goes, the right language stays, documents keep to their length."""

import struct
import zlib
from pathlib import Path

from scopebook_demo import clean


def test_html_loses_markup_and_navigation() -> None:
    page = (
        "<html><head><title>Disk &amp; tape</title></head><body><nav>Next</nav>"
        "<p>One\n line.</p><!-- not this --><p>Two<br/>three.</p></body></html>"
    )

    title, text = clean.strip_html(page)

    assert title == "Disk & tape"
    assert text == "One\nline.\nTwo\nthree."


def test_english_lines_leave_a_chinese_document() -> None:
    chinese = ["这是一个关于文件系统的说明文件", "使用命令 ls"]
    text = "\n".join([chinese[0], "This line was never translated into anything", chinese[1]])

    assert clean.keep_language(text, "Chinese") == "\n".join(chinese)


def test_an_untranslated_page_is_dropped() -> None:
    page = "This is the page that was never translated and it is in English for you"

    assert clean.keep_language(page, "German") == ""
    assert clean.keep_language(page, "English") == page


def test_japanese_is_not_taken_for_chinese() -> None:
    text = "このファイルは設定の変更に使われます。" * 5

    assert clean.keep_language(text, "Chinese") == ""
    assert clean.keep_language(text, "Japanese") == text


def test_file_lists_are_not_legal_prose() -> None:
    prose = (
        "Permission is hereby granted, free of charge, to any person obtaining a copy of this "
        "software and the documentation that comes with it, to deal in the software"
    )
    listing = "Files: libs/a/b.hpp\n libs/a/c.hpp\n libs/a/d.hpp\nCopyright: 2001 Someone"

    assert clean.prose_of_copyright(f"{listing}\n\n{prose}") == prose


def test_documents_are_cut_at_line_ends_and_lose_nothing() -> None:
    text = "\n".join(f"line {n} " + "x" * 90 for n in range(200))

    parts = list(clean.cut(text))

    assert all(len(part) <= clean.MAX_CHARACTERS for part in parts)
    assert "\n".join(parts) == text


def test_a_line_longer_than_a_document_is_cut_too() -> None:
    parts = list(clean.cut("y" * 15_000))

    assert all(len(part) <= clean.MAX_CHARACTERS for part in parts)
    assert "".join(parts) == "y" * 15_000


def test_chapters_come_out_of_a_sword_module(tmp_path: Path) -> None:
    verses = [
        '<milestone n="Genesis" type="x-usfm-h"/>',
        '<chapter n="1" osisID="Gen.1" sID="Gen.1"/>',
        'In the <w lemma="strong:H7225">beginning</w>.',
        "And the earth<note>a note</note> was.",
        '<chapter n="2" osisID="Gen.2" sID="Gen.2"/>',
        "Thus the heavens.",
    ]
    book = "".join(verses).encode()
    packed = zlib.compress(book)
    places, at = b"", 0
    for verse in verses:
        places += struct.pack("<IIH", 0, at, len(verse.encode()))
        at += len(verse.encode())
    for testament, empty in (("ot", False), ("nt", True)):
        (tmp_path / f"{testament}.bzz").write_bytes(b"" if empty else packed)
        table = b"" if empty else struct.pack("<III", 0, len(packed), len(book))
        (tmp_path / f"{testament}.bzs").write_bytes(table)
        (tmp_path / f"{testament}.bzv").write_bytes(b"" if empty else places)

    chapters = list(clean.chapters_of_sword(tmp_path))

    assert chapters == [
        ("Genesis 1", "In the beginning.\nAnd the earth was."),
        ("Genesis 2", "Thus the heavens."),
    ]
