"""Labels as features have them, made from parts: what is said of a subject, and where.

A label's vector is put together from real vectors of its parts with a little noise, since
embedding three quarters of a million texts takes an hour. The words and the vector of a label thus
agree, and labels that share a part are near each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ASPECTS: Final = (
    *("names of", "verbs of", "questions about", "advice on", "prices of", "descriptions of"),
    *("warnings about", "history of", "definitions of", "instructions for", "titles of"),
    *("numbers in", "abbreviations in", "places of", "people of", "disputes over", "reports on"),
    *("instruments for", "materials for", "errors in", "adjectives for", "beginnings of"),
    *("lists of", "quotations about", "rules of", "jokes about", "dates in", "units of"),
    *("code for", "tests of", "measurements of", "opinions on"),
)
SUBJECTS: Final = (
    *("contract law", "criminal courts", "patent claims", "tax forms", "human rights"),
    *("organic chemistry", "metal alloys", "crystal growth", "nuclear physics", "optics"),
    *("galaxies", "planetary orbits", "weather fronts", "ocean currents", "earthquakes"),
    *("heart disease", "vaccines", "surgery", "mental health", "dentistry", "pregnancy"),
    *("bird migration", "deep-sea fish", "insects", "forest ecology", "dog training", "horses"),
    *("bread baking", "sauces", "wine tasting", "coffee roasting", "street food", "diets"),
    *("football matches", "chess openings", "tennis rankings", "cycling races", "swimming"),
    *("opera", "jazz improvisation", "rock concerts", "film editing", "stage design"),
    *("oil painting", "sculpture", "photography", "fashion shows", "architecture"),
    *("medieval kings", "naval battles", "trade routes", "revolutions", "archaeology"),
    *("stock markets", "central banks", "insurance", "mortgages", "start-ups", "auctions"),
    *("railways", "aircraft engines", "bridges", "shipping", "car repair", "bicycles"),
    *("Python functions", "SQL queries", "HTML markup", "shell scripts", "unit tests"),
    *("network protocols", "encryption", "databases", "compilers", "robotics", "spreadsheets"),
    *("Spanish grammar", "German nouns", "French cooking terms", "Latin phrases"),
    *("Russian novels", "Japanese poetry", "Arabic script", "Chinese idioms"),
    *("gardening", "carpentry", "knitting", "plumbing", "camping", "fishing"),
    *("elections", "immigration", "labour unions", "city planning", "taxation"),
    *("school exams", "university admissions", "childhood", "weddings", "funerals"),
    *("prayer", "saints", "philosophy of mind", "ethics", "logic puzzles", "probability"),
    *("geometry proofs", "matrix algebra", "prime numbers", "statistics", "calculus"),
    *("detective stories", "fairy tales", "space travel", "dragons", "ghosts", "pirates"),
)
PLACES: Final = (
    *("", "", "", "in headlines", "at the beginning of a sentence", "in dialogue", "in footnotes"),
    *("in the past tense", "in formal letters", "in forum posts", "in encyclopedia articles"),
    *("with negation", "in lists", "in parentheses", "in advertising", "in comparisons"),
    *("before a comma", "in German text", "in French text", "in old texts", "in subtitles"),
    *("in questions", "with numbers", "in recipes", "in manuals"),
)
#: Words, their translation stands in for the meaning that the embedder does not know.
CHINESE: Final = {
    "法律": "law", "合同": "contract", "法院": "court", "医学": "medicine", "疫苗": "vaccine",
    "手术": "surgery", "经济": "economy", "银行": "bank", "股票": "stocks", "历史": "history",
    "皇帝": "emperor", "战争": "war", "音乐": "music", "电影": "film", "绘画": "painting",
    "足球": "football", "数学": "mathematics", "物理": "physics", "化学": "chemistry",
    "天气": "weather", "地震": "earthquake", "海洋": "ocean", "植物": "plants", "动物": "animals",
    "系统文件": "system files", "程序": "program", "网络": "network", "数据库": "database",
    "教育": "education", "大学": "university", "考试": "exam", "诗歌": "poetry", "小说": "novel",
    "哲学": "philosophy", "宗教": "religion", "婚礼": "wedding", "食谱": "recipe", "茶": "tea",
    "面包": "bread", "铁路": "railway", "飞机": "aircraft", "汽车": "car", "城市": "city",
    "选举": "election", "移民": "immigration", "税收": "taxation", "统计": "statistics",
}  # fmt: skip
Embed = Callable[[Sequence[str]], NDArray[np.float32]]

_NOISE: Final = 0.35
_CHINESE_EVERY: Final = 20


@dataclass(frozen=True)
class Labels:
    """Texts with their unit vectors in half precision, `(n, d)`."""

    texts: list[str]
    vectors: NDArray[np.float16]


class LabelMaker:
    """Makes labels from a seed; `embed` gives texts their unit vectors, `(n, d)`."""

    def __init__(self, embed: Embed) -> None:
        self._phrases = [f"{aspect} {subject}" for aspect in ASPECTS for subject in SUBJECTS]
        self._phrase_vectors = embed(self._phrases)
        self._place_vectors = embed([place or "text" for place in PLACES])
        self._chinese = list(CHINESE)
        self._chinese_vectors = embed([f"Chinese text: {word}" for word in CHINESE.values()])

    def make(self, dice: np.random.Generator, n: int) -> Labels:
        """Return so many labels; every twentieth is of Chinese words."""
        phrase = dice.integers(0, len(self._phrases), n)
        place = dice.integers(0, len(PLACES), n)
        vectors = self._phrase_vectors[phrase] + 0.5 * self._place_vectors[place]
        texts = [
            f"{self._phrases[p]} {PLACES[q]}".strip()
            for p, q in zip(phrase.tolist(), place.tolist(), strict=True)
        ]
        for i in range(0, n, _CHINESE_EVERY):
            one, two = dice.integers(0, len(self._chinese), 2).tolist()
            texts[i] = f"Chinese text: {self._chinese[one]}, {self._chinese[two]}"
            vectors[i] = self._chinese_vectors[one] + self._chinese_vectors[two]
        noise = dice.standard_normal(vectors.shape, dtype=np.float32)
        vectors = _unit(vectors) + _NOISE * _unit(noise)
        return Labels(texts, _unit(vectors).astype(np.float16))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
