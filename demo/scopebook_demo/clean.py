"""Raw files of packages -> plain text: markup off, right language only, cut to document length."""

import gzip
import html
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MAX_CHARACTERS = 6000
MIN_CHARACTERS = 200

_STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the of and to is that for with you this be are on or from",
        "German": "der die und das ist nicht ein den mit zu von sie für wird",
        "French": "le la les des et est un une pour dans du vous que sur",
        "Spanish": "el la los de que y en un una para del se las con",
    }.items()
}
_SCRIPTS: dict[str, re.Pattern[str]] = {
    "Chinese": re.compile(r"[\u4e00-\u9fff]"),
    "Japanese": re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]"),
    "Russian": re.compile(r"[\u0400-\u04ff]"),
}
_KANA = re.compile(r"[\u3040-\u30ff]")
_LATIN = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]+")


def read_text(path: Path) -> str:
    """The file as UTF-8, unpacked when its name ends in .gz."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return raw.decode("utf-8", "replace").replace("\r", "")


def strip_html(markup: str) -> tuple[str, str]:
    """(title, text) of a page; navigation, scripts and headers of the page are dropped."""
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", markup)
    text = re.sub(
        r"(?is)<(script|style|head|nav|header|footer|aside|noscript)\b.*?</\1>", " ", markup
    )
    text = re.sub(r"(?is)<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>", " ", text)
    text = re.sub(r"(?i)</(p|div|h\d|li|tr|pre|dt|dd)>|<br[^>]*>", "\n", text)
    text = html.unescape(re.sub(r"<[^>]+>", "", text))
    text = text.replace("\xa0", " ").replace("\u200b", "")
    text = re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", text))
    return _one_line(title.group(1)) if title else "", re.sub(r"\n\s*\n+", "\n", text).strip()


def strip_page(markup: str) -> tuple[str, str]:
    """(title, text) of a Mallard help page; its `info` block is dropped."""
    body = re.sub(r"(?s)<info>.*?</info>|<info .*?</info>", " ", markup)
    title = re.search(r"(?s)<title>(.*?)</title>", body)
    _, text = strip_html(body.replace("</title>", "</p>").replace("<title>", "<p>"))
    return _one_line(title.group(1)) if title else "", text


def _one_line(markup: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", "", markup)).replace("\xa0", " ")
    return re.sub(r"\s+", " ", text).strip()


def keep_language(text: str, language: str) -> str:
    """Drop lines, or the whole text, that are not in `language`.

    Translated manuals fall back to English page by page and line by line; without this a
    "Chinese" document holds English. Returns "" when too little is left.
    """
    if language == "English":
        return text
    lines = [line for line in text.split("\n") if not _is_foreign(line, language)]
    kept = "\n".join(lines)
    return kept if _is_in_language(kept, language) else ""


def _is_foreign(line: str, language: str) -> bool:
    if language in _SCRIPTS:
        return len(_LATIN.findall(line)) > 30 and not _SCRIPTS[language].search(line)
    words = [w.lower() for w in _WORD.findall(line)]
    english = sum(w in _STOP_WORDS["English"] for w in words)
    return len(words) >= 5 and english > sum(w in _STOP_WORDS[language] for w in words)


def _is_in_language(text: str, language: str) -> bool:
    if language in _SCRIPTS:
        own = len(_SCRIPTS[language].findall(text))
        kana = len(_KANA.findall(text))
        right_script = own > 0.4 * (own + len(_LATIN.findall(text)))
        if language == "Chinese":
            return right_script and kana < 0.02 * own
        return right_script and (language != "Japanese" or kana > 0.1 * own)
    words = Counter(w.lower() for w in _WORD.findall(text))
    own_stops = sum(words[w] for w in _STOP_WORDS[language])
    english_stops = sum(words[w] for w in _STOP_WORDS["English"])
    return own_stops > 1.5 * english_stops and own_stops > 0.08 * words.total()


def prose_of_copyright(text: str) -> str:
    """Paragraphs of sentences only: file lists and copyright lines say nothing about law.

    Signs of comments and the full stops that stand for empty lines go from both ends of a line.
    """
    kept = []
    for paragraph in re.split(r"\n\s*\.?\s*\n", text):
        lines = [line.strip(" \t*#.") for line in paragraph.split("\n")]
        words = _WORD.findall(paragraph)
        listed = sum(
            bool(re.match(r"(Files|Copyright|License|Source)\b|\S*/\S*$", x)) for x in lines
        )
        stops = sum(w.lower() in _STOP_WORDS["English"] for w in words)
        if len(words) > 15 and listed < 0.3 * len(lines) and stops > 0.15 * len(words):
            kept.append("\n".join(line for line in lines if line))
    return "\n\n".join(kept)


def poems_of(text: str) -> Iterator[str]:
    """Pages of about 1500 characters of poems out of a fortune file; '%' parts the poems."""
    page: list[str] = []
    for raw in re.split(r"(?m)^%\s*$", text):
        poem = re.sub(r"\x1b\[[0-9;]*m", "", raw).strip()
        if poem:
            page.append(poem)
        if sum(map(len, page)) > 1500:
            yield "\n\n".join(page)
            page = []
    if page:
        yield "\n\n".join(page)


def chapters_of_sword(folder: Path) -> Iterator[tuple[str, str]]:
    """(book and chapter, verses one per line) of a SWORD zText module, in order."""
    for testament in ("ot", "nt"):
        packed = (folder / f"{testament}.bzz").read_bytes()
        # block table: offset, packed size, plain size as three u32
        table = struct.iter_unpack("<III", (folder / f"{testament}.bzs").read_bytes())
        books = [zlib.decompress(packed[at : at + size]) if size else b"" for at, size, _ in table]
        # verse table: block, offset in block, size as u32, u32, u16
        verses = struct.iter_unpack("<IIH", (folder / f"{testament}.bzv").read_bytes())
        yield from _chapters(books[block][at : at + size].decode() for block, at, size in verses)


def _chapters(verses: Iterator[str]) -> Iterator[tuple[str, str]]:
    book, chapter, lines = "", "", list[str]()
    for markup in verses:
        if found := re.search(r'type="x-usfm-h"', markup):
            name = re.search(r'n="([^"]*)" type="x-usfm-h"', markup[: found.end()])
            book = name.group(1) if name else book
        if opened := re.search(r'<chapter n="(\d+)"', markup):
            if lines:
                yield chapter, "\n".join(lines)
            chapter, lines = f"{book} {opened.group(1)}", []
            continue
        text = re.sub(r"(?s)<note.*?</note>|<title.*?</title>", "", markup)
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)).replace("¶", "").strip()
        if text and chapter:
            lines.append(text)
    if lines:
        yield chapter, "\n".join(lines)


def cut(text: str) -> Iterator[str]:
    """Parts of at most MAX_CHARACTERS characters, cut at line ends where there are any."""
    part: list[str] = []
    size = 0
    for line in text.split("\n"):
        for at in range(0, len(line) + 1, MAX_CHARACTERS - 1):
            piece = line[at : at + MAX_CHARACTERS - 1]
            if size + len(piece) + 1 > MAX_CHARACTERS and part:
                yield "\n".join(part)
                part, size = [], 0
            part.append(piece)
            size += len(piece) + 1
    if part:
        yield "\n".join(part)
