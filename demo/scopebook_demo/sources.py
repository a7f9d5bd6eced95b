"""The manifest: which Debian packages the demo corpus is made of, and under which licences."""

from dataclasses import dataclass
from typing import Literal

Form = Literal["html", "page", "text", "pod", "sword", "poems", "copyright", "changelog"]

LANGUAGES: dict[str, str] = {
    "en_docs": "English", "zh": "Chinese", "zh_poem": "Chinese", "de": "German", "fr": "French",
    "es": "Spanish", "ru": "Russian", "ja": "Japanese", "bible": "English", "bible_es": "Spanish",
    "python": "English", "c": "English", "shell": "English", "perl_pod": "English",
    "legal": "English", "changelog": "English",
}  # fmt: skip
"""Tag of a document -> English name of its natural language."""

CAP_BYTES = 3_000_000
CAPS_BYTES: dict[str, int] = {"zh": 4_500_000, "python": 4_000_000, "ja": 3_500_000}


@dataclass(frozen=True)
class Source:
    """Files of one package that become documents of one tag."""

    package: str
    version: str
    tag: str
    licence: str
    holder: str
    patterns: tuple[str, ...]
    form: Form = "html"
    skip: tuple[str, ...] = ()


def _per_language(
    suffixes: dict[str, str], package: str, version: str, licence: str, holder: str,
    pattern: str, form: Form = "html",
) -> list[Source]:  # fmt: skip
    """One source per language; `{}` in package and pattern is the language's own suffix."""
    return [
        Source(package.format(s), version, tag, licence, holder, (pattern.format(s),), form)
        for tag, s in suffixes.items()
    ]


_HANDBOOK = {
    "en_docs": "en-US", "zh": "zh-CN", "de": "de-DE", "fr": "fr-FR", "es": "es-ES",
    "ru": "ru-RU", "ja": "ja-JP",
}  # fmt: skip
_GNOME = {
    "en_docs": "C", "zh": "zh_CN", "de": "de", "fr": "fr", "es": "es", "ru": "ru", "ja": "ja",
}  # fmt: skip
_OFFICE = {
    "en_docs": "en-us", "zh": "zh-cn", "de": "de", "fr": "fr", "es": "es", "ru": "ru", "ja": "ja",
}  # fmt: skip
_REFERENCE = {
    "en_docs": "en", "zh": "zh-cn", "de": "de", "fr": "fr", "es": "es", "ja": "ja",
}  # fmt: skip
_INSTALLER = {
    "en_docs": "en", "zh": "zh_CN", "de": "de", "fr": "fr", "es": "es", "ru": "ru", "ja": "ja",
}  # fmt: skip
_TRANSLATED = {"zh": "zh-cn", "de": "de", "fr": "fr", "es": "es", "ru": "ru", "ja": "ja"}
_FAQ = {"zh": "zh-cn", "de": "de", "fr": "fr", "ru": "ru", "ja": "ja"}
_DEVELOPERS = {"de": "de", "fr": "fr", "ru": "ru", "ja": "ja"}
_APTITUDE = {"es": "es", "fr": "fr", "ru": "ru", "ja": "ja"}

DOCUMENTATION: list[Source] = [
    *_per_language(
        _HANDBOOK, "debian-handbook", "11.20220922", "CC-BY-SA-3.0 or GPL-2.0-or-later",
        "Raphaël Hertzog, Roland Mas, Freexian SARL and translators",
        "usr/share/doc/debian-handbook/html/{}/*.html",
    ),
    *_per_language(
        _REFERENCE, "debian-reference-{}", "2.100", "GPL-2.0-or-later",
        "Osamu Aoki and translators", "usr/share/debian-reference/*.{}.html",
    ),
    *_per_language(
        _GNOME, "gnome-user-docs", "43.0-2", "CC-BY-SA-3.0",
        "Shaun McCance, the GNOME Documentation Project and translators",
        "usr/share/help/{}/**/*.page", "page",
    ),
    *_per_language(
        _INSTALLER, "installation-guide-amd64", "20230508+deb12u1", "GPL-2.0-only",
        "Debian Installer team and contributors",
        "usr/share/doc/installation-guide-amd64/{}/*.html",
    ),
    *_per_language(
        _TRANSLATED, "maint-guide-{}", "1.2.53", "GPL-2.0-or-later",
        "Josip Rodin, Osamu Aoki, Craig Small, Raphaël Hertzog and translators",
        "usr/share/doc/maint-guide-{}/html/*.html",
    ),
    *_per_language(
        _FAQ, "debian-faq-{}", "11.1", "Debian-FAQ",
        "Software in the Public Interest and translators",
        "usr/share/doc/debian/FAQ/{}/*.html",
    ),
    *_per_language(
        _DEVELOPERS, "developers-reference-{}", "12.18", "GPL-2.0-or-later",
        "Christian Schwarz, Adam Di Carlo, Raphaël Hertzog and others",
        "usr/share/developers-reference/{}/*.html",
    ),
    *_per_language(
        _APTITUDE, "aptitude-doc-{}", "0.8.13-5", "GPL-2.0-or-later",
        "Daniel Burrows, Manuel A. Fernandez Montecelo and translators",
        "usr/share/doc/aptitude/html/{}/*.html",
    ),
    Source(
        "debian-edu-doc-zh-cn", "2.12.23~deb12u1", "zh", "GPL-2.0-or-later",
        "Holger Levsen, Petter Reinholdtsen, Ma Yong and others",
        ("usr/share/doc/debian-edu-doc-zh-cn/debian-edu-bookworm-manual.html",),
    ),
    *_per_language(
        _OFFICE, "libreoffice-help-{}", "4:7.4.7-1+deb12u14", "MPL-2.0",
        "LibreOffice contributors, Oracle and/or its affiliates",
        "usr/share/libreoffice/help/*/text/**/*.html",
    ),
]  # fmt: skip

SCRIPTURE: list[Source] = [
    Source(
        "sword-text-kjv", "14.3-1", "bible", "public domain",
        "King James Version of 1611/1769, prepared by CrossWire and eBible.org",
        ("usr/share/sword/modules/texts/ztext/engKJV2006eb",), "sword",
    ),
    Source(
        "sword-text-sparv", "2.60-1", "bible_es", "public domain",
        "Reina-Valera of 1909, prepared by eBible.org",
        ("usr/share/sword/modules/texts/ztext/spaRV1909eb",), "sword",
    ),
    Source(
        "fortunes-zh", "2.98", "zh_poem", "public domain (packaged under GPL-3.0-or-later)",
        "poets of the Tang and Song dynasties, selected by Yu Guanghui and Mo Zhou",
        ("usr/share/games/fortunes/tang300", "usr/share/games/fortunes/song100"), "poems",
    ),
]  # fmt: skip

PROGRAMS: list[Source] = [
    Source(
        "libpython3.11-stdlib", "3.11.2-6+deb12u9", "python", "PSF-2.0",
        "Python Software Foundation", ("usr/lib/python3.11/**/*.py",), "text",
        ("idlelib/", "encodings/", "pydoc_data/", "lib2to3/"),
    ),
    Source(
        "python3-numpy", "1:1.24.2-1+deb12u1", "python", "BSD-3-Clause", "NumPy developers",
        ("usr/lib/python3/dist-packages/numpy/**/*.py",), "text", ("/tests/",),
    ),
    Source(
        "libpython3.11-dev", "3.11.2-6+deb12u9", "c", "PSF-2.0", "Python Software Foundation",
        ("usr/include/python3.11/**/*.h",), "text",
    ),
    Source(
        "python3-numpy", "1:1.24.2-1+deb12u1", "c", "BSD-3-Clause", "NumPy developers",
        ("usr/lib/python3/dist-packages/numpy/**/*.h",), "text",
    ),
    Source(
        "libboost1.74-dev", "1.74.0+ds1-21", "c", "BSL-1.0", "Boost contributors",
        ("usr/include/boost/**/*.hpp",), "text",
        ("preprocessed/", "aux_/", "/mpl/", "/vector/", "/limits/"),
    ),
    Source(
        "bash-completion", "1:2.11-6", "shell", "GPL-2.0-or-later",
        "Ian Macdonald, Bash Completion maintainers",
        ("usr/share/bash-completion/**/*",), "text",
    ),
    Source(
        "git", "1:2.39.5-0+deb12u3", "shell", "GPL-2.0-only", "Linus Torvalds and others",
        ("usr/lib/git-core/git-*", "usr/share/bash-completion/**/*"), "text",
    ),
    Source(
        "autoconf", "2.71-3", "shell", "GPL-3.0-or-later with Autoconf exception",
        "Free Software Foundation", ("usr/share/**/*.m4", "usr/bin/*"), "text",
    ),
    Source(
        "automake", "1:1.16.5-1.3", "shell", "GPL-2.0-or-later", "Free Software Foundation",
        ("usr/share/automake*/**/*", "usr/share/aclocal*/*.m4"), "text", (".pm",),
    ),
    Source(
        "perl-doc", "5.36.0-7+deb12u4", "perl_pod", "GPL-1.0-or-later or Artistic-1.0-Perl",
        "Larry Wall and others", ("usr/share/perl/**/*.pod",), "pod",
    ),
]  # fmt: skip

_COPYRIGHT_FILES = {
    "base-files": "12.4+deb12u15", "perl-doc": "5.36.0-7+deb12u4",
    "gcc-12-base": "12.2.0-14+deb12u1", "python3-numpy": "1:1.24.2-1+deb12u1",
    "libboost1.74-dev": "1.74.0+ds1-21", "git": "1:2.39.5-0+deb12u3",
    "debian-handbook": "11.20220922", "autoconf": "2.71-3",
    "libpython3.11-stdlib": "3.11.2-6+deb12u9", "ghostscript": "10.0.0~dfsg-11+deb12u9",
    "libnode-dev": "18.20.4+dfsg-1~deb12u3", "chromium-l10n": "156.0.8078.79-1~deb12u1",
    "firefox-esr-l10n-de": "153.7.0esr-1~deb12u1", "qtwebengine5-dev": "5.15.13+dfsg-1~deb12u1",
}  # fmt: skip
_CHANGELOGS: dict[str, tuple[str, str]] = {
    "base-files": ("12.4+deb12u15", "GPL-2.0-or-later"),
    "aptitude-doc-es": ("0.8.13-5", "GPL-2.0-or-later"),
    "bash-completion": ("1:2.11-6", "GPL-2.0-or-later"),
    "linux-libc-dev": ("6.1.192-2", "GPL-2.0-only"),
    "chromium-l10n": ("156.0.8078.79-1~deb12u1", "BSD-3-Clause"),
    "debian-faq-de": ("11.1", "Debian-FAQ"),
    "maint-guide-de": ("1.2.53", "GPL-2.0-or-later"),
    "libreoffice-help-de": ("4:7.4.7-1+deb12u14", "MPL-2.0"),
    "gcc-12-base": ("12.2.0-14+deb12u1", "GPL-2.0-or-later"),
    "ghostscript": ("10.0.0~dfsg-11+deb12u9", "AGPL-3.0-or-later"),
    "libnode-dev": ("18.20.4+dfsg-1~deb12u3", "MIT"),
}

PAPERS: list[Source] = [
    *(
        Source(
            package, version, "legal", "licence text, verbatim copies allowed",
            "the authors of the licences",
            ("usr/share/doc/*/copyright", "usr/share/common-licenses/*"), "copyright",
        )
        for package, version in _COPYRIGHT_FILES.items()
    ),
    *(
        Source(
            package, version, "changelog", licence, "Debian maintainers of the package",
            ("usr/share/doc/*/changelog.Debian.gz", "usr/share/doc/*/changelog.gz"), "changelog",
        )
        for package, (version, licence) in _CHANGELOGS.items()
    ),
]  # fmt: skip

LICENCE_IN: dict[str, str] = {"libpython3.11-stdlib": "libpython3.11-minimal"}
"""Packages whose copyright file is in another package of the same version."""

SOURCES: list[Source] = [*DOCUMENTATION, *SCRIPTURE, *PROGRAMS, *PAPERS]
