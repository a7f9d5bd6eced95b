"""Features planted into made-up text, so that it is known what each one means."""

import hashlib
import re
from collections.abc import Sequence
from itertools import count

import numpy as np

from scopebook_workers.labeling.evidence import FeatureEvidence, Firing, Passage

_ids = count()

GERMAN = [
    "der", "die", "das", "und", "nicht", "ist", "mit", "auf", "für", "eine", "werden", "wenn",
    "nach", "durch", "Haus", "Straße", "Wasser", "Fenster", "Datei", "öffnen", "Schrift",
    "Zeichen", "Wort", "lesen", "schreiben",
]  # fmt: skip
FRENCH = [
    "le", "les", "des", "est", "une", "dans", "pour", "que", "qui", "sur", "avec", "pas",
    "vous", "maison", "rue", "eau", "fenêtre", "fichier", "ouvrir", "lettre", "mot", "lire",
    "écrire", "être", "plus",
]  # fmt: skip
ENGLISH = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "with", "as", "was", "on",
    "house", "street", "water", "window", "file", "open", "letter", "word", "read", "write",
    "not", "have",
]  # fmt: skip
RUSSIAN = [
    "и", "в", "не", "на", "что", "с", "по", "для", "это", "как", "дом", "улица", "вода", "окно",
    "файл", "открыть", "буква", "слово", "читать", "писать", "мы", "вы", "был",
]  # fmt: skip
PYTHON = [
    "def read(self):\n    return self.path", "import os\nfrom pathlib import Path",
    "class Reader:\n    pass", "if value is None:\n        raise ValueError(name)",
    "for item in items:\n    self.add(item)", "x = [f(i) for i in range(10)]",
    "with open(path) as stream:\n    data = stream.read()",
    "elif key == 'a':\n    self.key = {}",
]  # fmt: skip
CHINESE = [
    "系统的文件", "打开设置窗口", "用户可以选择", "网络连接失败",
    "请输入密码", "程序正在运行",
]  # fmt: skip
JAPANESE = [
    "ファイルを開く", "設定を変更します", "新しい項目の名前",
    "これは文字です", "システムの画面",
]  # fmt: skip


def make_passage(
    text: str,
    *,
    tag: str | None = None,
    language: str | None = None,
    document_id: int | None = None,
) -> Passage:
    """Return a passage whose tokens are words with the blank before them, or two characters."""
    found = re.finditer(r"\s?[A-Za-zÀ-ÿЀ-ӿ_]+|[\u3040-\u9fff]{1,2}|\s+|.", text, re.DOTALL)
    spans = np.asarray([match.span() for match in found], dtype=np.int32).reshape(-1, 2)
    number = next(_ids)
    return Passage(
        id=number,
        document_id=number if document_id is None else document_id,
        document_hash=int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]),
        group=number,
        text=text,
        begins=spans[:, 0].copy(),
        ends=spans[:, 1].copy(),
        tag=tag,
        language=language,
    )


def make_passages(
    words: Sequence[str],
    n: int,
    *,
    joint: str = " ",
    length: int = 60,
    seed: int = 0,
    tag: str | None = None,
    language: str | None = None,
) -> list[Passage]:
    """Return passages of words drawn at random."""
    rng = np.random.default_rng(seed)
    return [
        make_passage(joint.join(rng.choice(words, length)), tag=tag, language=language)
        for _ in range(n)
    ]


def fire(passages: Sequence[Passage], *, on: str | None = None, seed: int = 0) -> FeatureEvidence:
    """Return a feature that fires on a token, or on one at random in each passage."""
    rng = np.random.default_rng(seed)
    firings = []
    for passage in passages:
        tokens = [
            passage.text[begin:end] for begin, end in zip(passage.begins, passage.ends, strict=True)
        ]
        places = [i for i, token in enumerate(tokens) if on is None or token.strip() == on]
        if not places:
            continue
        chosen = np.sort(rng.choice(places, min(3, len(places)), replace=False)).astype(np.int32)
        activations = rng.uniform(1, 5, len(chosen)).astype(np.float32)
        firings.append(
            Firing(
                passage=passage,
                peak=int(chosen[activations.argmax()]),
                positions=chosen,
                activations=activations,
            )
        )
    return FeatureEvidence(firings=firings)


def topic(name: str, n: int = 30) -> list[str]:
    """Return words that belong to one topic alone."""
    return [f"{name}{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(n)]


def topic_passages(name: str, n: int, *, share: float, seed: int) -> list[Passage]:
    """Return English passages of which a share of the words are the topic's."""
    rng = np.random.default_rng(seed)
    own = topic(name)
    return [
        make_passage(
            " ".join(
                str(rng.choice(own)) if rng.random() < share else str(rng.choice(ENGLISH))
                for _ in range(80)
            )
        )
        for _ in range(n)
    ]
