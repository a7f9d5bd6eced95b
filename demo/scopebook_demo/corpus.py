"""Debian packages -> documents.jsonl: download, unpack, clean, check the language, split."""

import hashlib
import json
import logging
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from scopebook_demo import clean
from scopebook_demo.sources import (
    CAP_BYTES,
    CAPS_BYTES,
    LANGUAGES,
    LICENCE_IN,
    SOURCES,
    Source,
)

log = logging.getLogger(__name__)

HELD_OUT_BYTES = 105_000
HELD_OUT_SHARE = 0.12
LONG_COPYRIGHT = 120_000
_PARTS_PER_FILE = {"changelog": 150, "copyright": 60, "pod": 40, "sword": 10_000}

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class Document:
    """One text of the corpus; `source` is its Debian package."""

    id: str
    text: str
    tag: str
    language: str
    title: str
    source: str
    licence: str
    split: Split = "held_out"


def fetch_packages(folder: Path, sources: Iterable[Source] = SOURCES) -> None:
    """Download and unpack each package into folder/<package>; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    versions = {s.package: s.version for s in sources}
    versions |= {LICENCE_IN[p]: v for p, v in versions.items() if p in LICENCE_IN}
    wanted = {p: v for p, v in versions.items() if not (folder / p).is_dir()}
    if not wanted:
        return
    names = [f"{package}={version}" for package, version in sorted(wanted.items())]
    subprocess.run(["apt-get", "download", *names], cwd=folder, check=True)
    for package in wanted:
        [archive] = folder.glob(f"{package}_*.deb")
        unpacking = folder / f"{package}.part"
        subprocess.run(["dpkg", "-x", archive, unpacking], check=True)
        unpacking.rename(folder / package)
        archive.unlink()


def files_of(source: Source, packages: Path) -> list[Path]:
    """The source's files in a fixed order; links are left out (they repeat another file)."""
    root = packages / source.package
    found = {p for pattern in source.patterns for p in root.glob(pattern)}
    return sorted(
        p
        for p in found
        if not p.is_symlink()
        and (p.is_file() or source.form == "sword")
        and not any(part in str(p.relative_to(root)) for part in source.skip)
    )


def texts_of(source: Source, path: Path) -> Iterator[tuple[str, str]]:
    """(title, clean text) of each piece that one file holds; most files hold one."""
    if source.form == "sword":
        yield from clean.chapters_of_sword(path)
        return
    raw = clean.read_text(path)
    if source.form == "poems":
        yield from (
            (f"{path.name}, page {n}", poem) for n, poem in enumerate(clean.poems_of(raw), 1)
        )
    elif source.form == "html":
        yield clean.strip_html(raw)
    elif source.form == "page":
        yield clean.strip_page(raw)
    elif source.form == "copyright":
        yield f"{path.name} of {source.package}", clean.prose_of_copyright(raw)
    elif source.form == "changelog":
        yield f"Changelog of {source.package}", raw
    elif not _is_binary_or_perl(raw):
        yield path.name, raw


def _is_binary_or_perl(raw: str) -> bool:
    return "\x00" in raw[:2000] or "perl" in raw[:80]


def _paragraphs_not_seen(text: str, seen: set[str]) -> str:
    """Licence texts repeat the same paragraphs hundreds of times: each is taken once."""
    kept = []
    for paragraph in text.split("\n\n"):
        key = re.sub(r"\W+", "", paragraph.lower())
        if key not in seen:
            seen.add(key)
            kept.append(paragraph)
    return "\n\n".join(kept)


def candidates(packages: Path, sources: Iterable[Source]) -> Iterator[tuple[Source, str, str, str]]:
    """(source, group, title, text) of every usable document; one file's parts share a group."""
    seen_paragraphs: set[str] = set()
    for source in sources:
        for path in files_of(source, packages):
            for title, text in texts_of(source, path):
                group = f"{source.package}/{path.name}/{title}"
                if source.form == "copyright":
                    text = _paragraphs_not_seen(text, seen_paragraphs)
                text = clean.keep_language(text, LANGUAGES[source.tag])
                parts = list(clean.cut(text.strip()))[: _PARTS_PER_FILE.get(source.form, 12)]
                for number, part in enumerate(parts, 1):
                    if len(part) >= clean.MIN_CHARACTERS and part.count("\ufffd") < 5:
                        of = f", part {number}" if len(parts) > 1 else ""
                        yield source, group, (title or path.stem) + of, part.strip()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def build_documents(packages: Path, sources: Iterable[Source] = SOURCES) -> list[Document]:
    """All documents, each tag up to its cap, in a fixed pseudo-random order.

    Whole files go to the held-out split, in the order of a hash, until it holds HELD_OUT_BYTES
    of the tag (or HELD_OUT_SHARE of a small tag); licence papers and logs, a few long files,
    are split by document.
    """
    by_tag: dict[str, list[tuple[str, Source, str, str]]] = defaultdict(list)
    seen: set[str] = set()
    for source, group, title, text in candidates(packages, sources):
        key = re.sub(r"\W+", "", text)[:400]
        if key not in seen:
            seen.add(key)
            whole = source.form not in ("copyright", "changelog")
            order = _hash(group) if whole else _hash(group + title)
            by_tag[source.tag].append((order, source, title, text))
    documents = [d for tag in sorted(by_tag) for d in _split(sorted(by_tag[tag], key=_by_order))]
    return sorted(documents, key=lambda d: d.id)


def _by_order(row: tuple[str, Source, str, str]) -> tuple[str, str]:
    return row[0], row[2]


def _split(rows: list[tuple[str, Source, str, str]]) -> Iterator[Document]:
    tag = rows[0][1].tag
    total = sum(len(text.encode()) for *_, text in rows)
    held_out = min(HELD_OUT_BYTES, HELD_OUT_SHARE * total)
    cap = CAPS_BYTES.get(tag, CAP_BYTES)
    taken, last_held_out = 0, ""
    for order, source, title, text in rows:
        split: Split = "held_out" if taken < held_out or order == last_held_out else "train"
        last_held_out = order if split == "held_out" else ""
        taken += len(text.encode())
        if taken > cap:
            return
        yield Document(
            _hash(tag + text)[:16], text, tag, LANGUAGES[tag], title, source.package,
            source.licence, split,
        )  # fmt: skip


def write_documents(documents: Iterable[Document], path: Path) -> None:
    """One JSON object per line, as `asdict` gives it."""
    with path.open("w", encoding="utf-8") as out:
        for document in documents:
            out.write(json.dumps(asdict(document), ensure_ascii=False) + "\n")


def read_documents(path: Path) -> list[Document]:
    """Documents of a file that `write_documents` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [Document(**json.loads(line)) for line in lines]


def report_sizes(documents: Iterable[Document]) -> None:
    """Log megabytes per tag, held out and by package."""
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for d in documents:
        sizes[d.tag][d.source] += len(d.text.encode())
        sizes[d.tag]["(held out)"] += len(d.text.encode()) * (d.split == "held_out")
    for tag, by in sorted(sizes.items()):
        total = sum(n for name, n in by.items() if name != "(held out)")
        parts = ", ".join(f"{name} {n / 1e6:.2f}" for name, n in by.most_common(9))
        log.info("%-10s %5.2f MB: %s", tag, total / 1e6, parts)


def copy_licences(packages: Path, documents: Iterable[Document], folder: Path) -> None:
    """The copyright file of each package in the sample, and the texts these files cite."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted({d.source for d in documents if d.split == "held_out"}):
        for path in (packages / LICENCE_IN.get(package, package)).glob("usr/share/doc/*/copyright"):
            text = clean.read_text(path)
            if len(text) > LONG_COPYRIGHT:  # lists of files: their licences are what matters
                stanzas = text.split("\n\n")
                text = "\n\n".join(s for s in stanzas if s.startswith(("Format", "License")))
            (folder / f"{package}.copyright").write_text(text, encoding="utf-8")
    common = packages / "base-files/usr/share/common-licenses"
    for name in ("GPL-1", "GPL-2", "GPL-3", "Artistic", "MPL-2.0"):
        shutil.copyfile(common / name, folder / name)
