"""Work together: the queue, the vocabulary, who agrees with whom, lists."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast
from urllib.parse import quote

from scopebook.client.transport import Transport
from scopebook.client.types.list import AdditionRead, ItemRead, ListRead
from scopebook.client.types.review import (
    AgreementReportRead,
    LeaseRead,
    MentionRead,
    QueueRead,
    TagRead,
)


class Team(Transport):
    """What a team shares beside the features themselves."""

    def queue(self, *, release: str | None = None, layer: Sequence[int] | None = None) -> QueueRead:
        """Tell how many features wait for a review, and how many are in whose hand."""
        return cast(QueueRead, self._get("/queue", {"release": release, "layer": layer}))

    def next_review(
        self,
        *,
        release: str | None = None,
        layers: Sequence[int] | None = None,
        tag: str | None = None,
    ) -> LeaseRead | None:
        """Take the next most valuable feature in hand for ten minutes; None: nothing is left."""
        body = {"release": release, "layers": None if layers is None else list(layers), "tag": tag}
        return cast(LeaseRead | None, self._send("POST", "/queue/next", body)["lease"])

    def release_review(self, feature: str) -> None:
        """Give a feature out of hand."""
        self._send("POST", "/queue/release", {"feature": feature})

    def skip_review(self, feature: str) -> None:
        """Give a feature out of hand, and be not handed it again for a day."""
        self._send("POST", "/queue/skip", {"feature": feature})

    def tags(self) -> list[TagRead]:
        """List the team's vocabulary."""
        return cast(list[TagRead], self._get("/tags")["items"])

    def save_tag(
        self, name: str, *, description: str | None = None, retired: bool = False
    ) -> TagRead:
        """Add a tag, describe it otherwise, or offer it no more; editors may."""
        body = {"description": description, "retired": retired}
        return cast(TagRead, self._send("PUT", f"/tags/{quote(name)}", body))

    def mentions(self, *, limit: int | None = None) -> Iterator[MentionRead]:
        """List comments of others that speak to oneself, newest first."""
        return self._items("/comments/mentions", {}, limit)

    def agreement(self, release: str | None = None) -> AgreementReportRead:
        """Tell how far people agree: over all, by pair, by tag, by month."""
        return cast(AgreementReportRead, self._get("/agreement", {"release": release}))

    def lists(self, *, limit: int | None = None) -> Iterator[ListRead]:
        """List one's own lists and those that are shared, the newest first."""
        return self._items("/lists", {}, limit)

    def create_list(
        self,
        name: str,
        features: Sequence[str] = (),
        *,
        description: str = "",
        shared: bool = False,
        search: dict[str, Any] | None = None,
    ) -> ListRead:
        """Make a list of features; `search` keeps parameters of a search beside it."""
        body = {
            "name": name,
            "features": list(features),
            "description": description,
            "shared": shared,
            "search": search,
        }
        return cast(ListRead, self._send("POST", "/lists", body))

    def list_details(self, list_id: int) -> ListRead:
        """Return a list without its items."""
        return cast(ListRead, self._get(f"/lists/{list_id}"))

    def change_list(
        self,
        list_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        shared: bool | None = None,
        version: int | None = None,
    ) -> ListRead:
        """Change what a list says of itself; what is None stays as it is."""
        wanted = {"name": name, "description": description, "shared": shared}
        body = {field: value for field, value in wanted.items() if value is not None}
        base = version if version is not None else self.list_details(list_id)["version"]
        return cast(ListRead, self._send("PATCH", f"/lists/{list_id}", body, version=base))

    def delete_list(self, list_id: int) -> None:
        """Remove a list; its features stay what they are."""
        self._send("DELETE", f"/lists/{list_id}")

    def list_items(self, list_id: int, *, limit: int | None = None) -> Iterator[ItemRead]:
        """Yield the features of a list in their order."""
        return self._items(f"/lists/{list_id}/items", {}, limit)

    def add_to_list(self, list_id: int, features: Sequence[str], *, note: str = "") -> AdditionRead:
        """Put features at the end of a list."""
        body = {"features": [*features], "note": note}
        return cast(AdditionRead, self._send("POST", f"/lists/{list_id}/items", body))

    def move_in_list(self, list_id: int, feature: str, *, after: str | None = None) -> None:
        """Put a feature of a list behind another one, or first."""
        body = {"feature": feature, "after": after}
        self._send("POST", f"/lists/{list_id}/items/move", body)

    def note_in_list(self, list_id: int, feature: str, note: str) -> None:
        """Say beside a feature why it is in a list."""
        self._send("POST", f"/lists/{list_id}/items/note", {"feature": feature, "note": note})

    def remove_from_list(self, list_id: int, feature: str) -> None:
        """Take a feature out of a list."""
        self._send("POST", f"/lists/{list_id}/items/remove", {"feature": feature})

    def export_list(self, list_id: int, *, form: Literal["csv", "jsonl"] = "jsonl") -> str:
        """Return all features of a list with their labels, as the text of a file."""
        return self._read(f"/lists/{list_id}/export", {"form": form}).text
