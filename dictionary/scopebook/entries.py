"""Keep the narrow rows behind lists and searches true to what they repeat.

Whoever changes what an entry repeats - the labels in force, the run that is shown, scores,
reviews - calls one of these functions in the same transaction, so that a search never sees half.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

#: An entry has the score of the first of these that has scored its label: the more a scorer asks
#: of a label, the further to the front it stands.
SCORERS: Final = ("union", "detection", "fuzzing", "intruder", "embedding")

#: The writing that a text is in, by its letters; a text of several counts as the rarest of these.
_SCRIPT: Final = """
CASE WHEN l.text IS NULL THEN NULL
     WHEN l.text ~ '[\u3040-\u30ff]' THEN 'Jpan'
     WHEN l.text ~ '[\uac00-\ud7af]' THEN 'Hang'
     WHEN l.text ~ '[\u3400-\u9fff\uf900-\ufaff]' THEN 'Hani'
     WHEN l.text ~ '[\u0400-\u04ff]' THEN 'Cyrl'
     WHEN l.text ~ '[\u0600-\u06ff]' THEN 'Arab'
     WHEN l.text ~ '[\u0370-\u03ff]' THEN 'Grek'
     WHEN l.text ~ '[\u0590-\u05ff]' THEN 'Hebr'
     WHEN l.text ~ '[\u0900-\u097f]' THEN 'Deva'
     WHEN l.text ~ '[a-zA-Z\u00c0-\u024f]' THEN 'Latn'
     ELSE 'Zyyy' END
"""

#: How the newest language model of the shown run ended, where it gave no label and none is there.
_ENDED: Final = """
SELECT o.status FROM label_outcome o
JOIN labeling g ON g.id = o.labeling_id AND g.source = 'llm' AND g.run_id = a.current_run_id
WHERE o.feature_id = f.id AND l.source IS DISTINCT FROM 'llm'
ORDER BY g.id DESC LIMIT 1
"""

_SCORE: Final = """
SELECT s.value, s.scorer FROM label_score s
WHERE s.label_id = l.id AND s.scorer = ANY(:scorers)
ORDER BY array_position(CAST(:scorers AS text[]), s.scorer), s.id DESC LIMIT 1
"""

_SENSES: Final = """
SELECT count(*) FROM label part
WHERE part.feature_id = f.id AND part.labeling_id = l.labeling_id AND part.current
  AND part.sense_id IS NOT NULL
"""

_WORDS: Final = """
SELECT tsvector_agg(part.words ORDER BY part.id) FROM label part
WHERE part.feature_id = f.id AND part.current
"""

#: Whether anybody's verdict on one of its labels stands.
_REVIEWED: Final = """
EXISTS (SELECT FROM review r WHERE r.feature_id = f.id AND r.verdict <> 'withdrawn'
        AND NOT EXISTS (SELECT FROM review later WHERE later.label_id = r.label_id
                        AND later.account_id = r.account_id AND later.id > r.id))
"""

#: Whether more people accept the label in force than reject it (`scopebook.label_rule`).
_ACCEPTED: Final = """
SELECT count(*) FILTER (WHERE stands.verdict = 'accept' AND stands.counts)
       > count(*) FILTER (WHERE stands.verdict = 'reject') AS more
FROM (SELECT DISTINCT ON (r.account_id) r.verdict, r.counts FROM review r
      WHERE r.label_id = l.id ORDER BY r.account_id, r.id DESC) stands
"""

_COLUMNS: Final = (
    *("sae_id", "density", "max", "flags", "label_id", "source", "author", "state", "script"),
    *("senses", "score", "scorer", "reviewed", "words"),
)

_REFRESH: Final = f"""
INSERT INTO feature_entry AS old (feature_id, {", ".join(_COLUMNS)})
SELECT f.id, f.sae_id, e.density, e.max, coalesce(e.flags, ARRAY[]::varchar[]), l.id,
       l.source, l.author,
       CASE WHEN accepted.more THEN 'accepted'
            WHEN ended.status IN ('suspect', 'abstained', 'refused', 'failed') THEN ended.status
            WHEN l.id IS NULL THEN 'unlabelled' ELSE 'labelled' END,
       {_SCRIPT}, ({_SENSES}), scored.value, scored.scorer, {_REVIEWED},
       coalesce(({_WORDS}), '')
FROM feature f
JOIN sae a ON a.id = f.sae_id
LEFT JOIN evidence e ON e.feature_id = f.id AND e.run_id = a.current_run_id
LEFT JOIN label l ON l.feature_id = f.id AND l.current AND l.sense_id IS NULL
LEFT JOIN LATERAL ({_ENDED}) ended ON true
LEFT JOIN LATERAL ({_SCORE}) scored ON true
LEFT JOIN LATERAL ({_ACCEPTED}) accepted ON true
WHERE {{which}}
ORDER BY f.id
ON CONFLICT (feature_id) DO UPDATE SET ({", ".join(_COLUMNS)})
    = ({", ".join(f"excluded.{name}" for name in _COLUMNS)})
WHERE ({", ".join(f"old.{name}" for name in _COLUMNS)})
    IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _COLUMNS)})
"""

_NOTE_WORDS: Final = """
INSERT INTO label_word (word, lexeme)
SELECT word, (tsvector_to_array(to_tsvector('english', word)))[1] FROM (
    SELECT DISTINCT found[1] AS word FROM label f,
        regexp_matches(lower(f.text), '[a-z\u00df-\u024f\u0370-\u04ff]{{4,40}}', 'g') AS found
    WHERE f.current AND {which}
) words ORDER BY word
ON CONFLICT DO NOTHING
"""

#: Two transactions that change one feature must not each write an entry without the other's part.
_LOCK: Final = """
SELECT 1 FROM feature_entry WHERE feature_id = ANY(:ids) ORDER BY feature_id FOR UPDATE
"""
#: Many features of an SAE are locked as one; the first number is ours alone.
_LOCK_SAE: Final = "SELECT {lock}(7263012, :sae_id)"


def refresh_entries(session: Session, feature_ids: Sequence[int]) -> None:
    """Write the entries of some features anew; of many of one SAE, `refresh_sae` is faster."""
    ids = sorted(set(feature_ids))
    if not ids:
        return
    for sae_id in sorted({feature_id >> 20 for feature_id in ids}):
        _lock_sae(session, "pg_advisory_xact_lock_shared", sae_id)
    session.execute(text(_LOCK), {"ids": ids})
    _write(session, "{id} = ANY(:ids)", {"ids": ids})


def refresh_saes(session: Session, sae_ids: Sequence[int]) -> None:
    """Write the entries of all features of some SAEs anew."""
    for sae_id in sorted(set(sae_ids)):
        _lock_sae(session, "pg_advisory_xact_lock", sae_id)
    _write(session, "f.sae_id = ANY(:sae_ids)", {"sae_ids": list(sae_ids)})


def _lock_sae(session: Session, lock: str, sae_id: int) -> None:
    session.execute(text(_LOCK_SAE.format(lock=lock)), {"sae_id": sae_id})


def _write(session: Session, which: str, values: dict[str, Any]) -> None:
    session.flush()
    session.execute(
        text(_REFRESH.format(which=which.format(id="f.id"))),
        {**values, "scorers": list(SCORERS)},
    )
    session.execute(text(_NOTE_WORDS.format(which=which.format(id="f.feature_id"))), values)
