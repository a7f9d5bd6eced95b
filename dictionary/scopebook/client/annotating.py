"""Say what features mean: verdicts, proposals, comments, tags, senses, and their history.

Each write is for a version of the feature: the one that is given, or the one that it has when the
method is called. Where somebody has changed the feature meanwhile, nothing is written and
`ChangedSinceError` has what is there now; comments, tags and marks are sent again by themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, cast
from urllib.parse import quote

from scopebook.client.transport import Transport, named
from scopebook.client.types.review import (
    AnnotationRead,
    BulkRead,
    ChangeRead,
    GivenReviewRead,
)

Verdict = Literal["accept", "reject", "unsure", "withdrawn"]
BulkKind = Literal["accept", "reject", "tag", "untag", "second_opinion"]


class Annotating(Transport):
    """What annotators may do, and `pin`, which editors may."""

    def annotation(self, feature: str) -> AnnotationRead:
        """Return what people have said of a feature, with its `version`."""
        return cast(AnnotationRead, self._get(f"/features/{named(feature)}/annotation"))

    def review(
        self,
        feature: str,
        label_id: int,
        verdict: Verdict,
        *,
        reason: str | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Accept or reject a label, say that one is unsure, or withdraw one's verdict."""
        body = {"label_id": label_id, "verdict": verdict, "reason": reason}
        return self._annotate("POST", "/reviews", feature, body, version)

    def propose(
        self,
        feature: str,
        text: str,
        *,
        description: str | None = None,
        sense: int | None = None,
        supersedes_id: int | None = None,
        reason: str | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Propose a wording of a feature, or of one of its senses by its ordinal."""
        body = {
            "text": text,
            "description": description,
            "sense": sense,
            "supersedes_id": supersedes_id,
            "reason": reason,
        }
        return self._annotate("POST", "/proposals", feature, body, version)

    def pin(
        self,
        feature: str,
        label_id: int | None,
        *,
        reason: str,
        sense: int | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Keep a label in force whatever people say; None lets the rule decide again."""
        body = {"label_id": label_id, "sense": sense, "reason": reason}
        return self._annotate("POST", "/pin", feature, body, version)

    def ask_second_opinion(
        self, feature: str, *, reason: str | None = None, version: int | None = None
    ) -> AnnotationRead:
        """Ask for another person's verdict."""
        return self._annotate("POST", "/second-opinion", feature, {"reason": reason}, version)

    def comment(self, feature: str, text: str, *, version: int | None = None) -> AnnotationRead:
        """Add to the discussion; `@name` speaks to an account."""
        return self._annotate("POST", "/comments", feature, {"text": text}, version, adds=True)

    def edit_comment(
        self, feature: str, comment_id: int, text: str, *, version: int | None = None
    ) -> AnnotationRead:
        """Let one's own comment say something else."""
        return self._annotate("PUT", f"/comments/{comment_id}", feature, {"text": text}, version)

    def remove_comment(
        self, feature: str, comment_id: int, *, version: int | None = None
    ) -> AnnotationRead:
        """Take a comment away: its author may, and editors."""
        return self._annotate("DELETE", f"/comments/{comment_id}", feature, None, version)

    def tag(self, feature: str, tag: str, *, version: int | None = None) -> AnnotationRead:
        """Give a feature a tag of the team's vocabulary."""
        return self._annotate("PUT", f"/tags/{quote(tag)}", feature, None, version, adds=True)

    def untag(self, feature: str, tag: str, *, version: int | None = None) -> AnnotationRead:
        """Take a tag away."""
        return self._annotate("DELETE", f"/tags/{quote(tag)}", feature, None, version, adds=True)

    def mark_off_meaning(
        self, feature: str, context_id: int, *, version: int | None = None
    ) -> AnnotationRead:
        """Mark a shown example as off-meaning."""
        path = f"/off-meaning/{context_id}"
        return self._annotate("PUT", path, feature, None, version, adds=True)

    def unmark_off_meaning(
        self, feature: str, context_id: int, *, version: int | None = None
    ) -> AnnotationRead:
        """Take the mark off an example."""
        path = f"/off-meaning/{context_id}"
        return self._annotate("DELETE", path, feature, None, version, adds=True)

    def merge_senses(
        self,
        feature: str,
        ordinals: Sequence[int],
        *,
        reason: str | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Join senses into one, which keeps the label of the largest."""
        body = {"ordinals": list(ordinals), "reason": reason}
        return self._annotate("POST", "/senses/merge", feature, body, version)

    def split_sense(
        self,
        feature: str,
        ordinal: int,
        context_ids: Sequence[int],
        *,
        reason: str | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Take examples out of a sense into a new one."""
        body = {"ordinal": ordinal, "context_ids": list(context_ids), "reason": reason}
        return self._annotate("POST", "/senses/split", feature, body, version)

    def history(self, feature: str, *, limit: int | None = None) -> Iterator[ChangeRead]:
        """List what people did to a feature, newest first."""
        return self._items(f"/features/{named(feature)}/history", {}, limit)

    def undo(
        self,
        feature: str,
        change_id: int,
        *,
        reason: str | None = None,
        version: int | None = None,
    ) -> AnnotationRead:
        """Restore what was before an entry of the history, by a new one."""
        path = f"/history/{change_id}/undo"
        return self._annotate("POST", path, feature, {"reason": reason}, version)

    def reviews(
        self, *, author: str | None = None, limit: int | None = None
    ) -> Iterator[GivenReviewRead]:
        """List verdicts, newest first."""
        return self._items("/reviews", {"author": author}, limit)

    def preview_bulk(
        self,
        features: Sequence[str],
        kind: BulkKind,
        *,
        tag: str | None = None,
        reason: str | None = None,
    ) -> BulkRead:
        """Say what an action on up to 1,000 features would do; its `token` applies it."""
        body = {"features": list(features), "kind": kind, "tag": tag, "reason": reason}
        return cast(BulkRead, self._send("POST", "/reviews/bulk", body))

    def apply_bulk(self, token: str) -> BulkRead:
        """Do what was previewed, but for features that were changed since."""
        return cast(BulkRead, self._send("POST", f"/reviews/bulk/{quote(token)}/apply"))

    def undo_bulk(self, bulk_id: int) -> BulkRead:
        """Undo all that an action did, but for what later changes rest on."""
        return cast(BulkRead, self._send("POST", f"/reviews/bulk/{bulk_id}/undo"))
