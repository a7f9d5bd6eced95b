"""What would go if a corpus or a scan was deleted, as the API says it."""

from pydantic import Field

from scopebook_api.schemas import Schema


class DeletionRead(Schema):
    """What would go if something was deleted, and what of it stays."""

    what: str
    job_id: int | None = Field(description="The job that deletes it already.")
    documents: int
    contexts: int
    tokens: int
    runs: list[int] = Field(description="Collections, by their numbers.")
    scans: list[int] = Field(
        description="By their numbers: those that read it, and those whose reports quote labels "
        "that go."
    )
    evidence: int = Field(
        description="Features that lose what was measured of them, for each collection."
    )
    labelings: int
    labels: int = Field(description="By keywords and by language models.")
    scores: int
    marks: int = Field(description="Of people, on examples.")
    panels: int
    maps: int
    spoken_of: int = Field(
        description="Labels of machines that people have spoken of: their words go, what people "
        "said stays."
    )
    people: int = Field(
        description="Wordings by people of senses that go: the words stay, and are in force no "
        "more."
    )
    presets: int = Field(description="Versions of presets that may name labels that go; they stay.")
    files: int
    file_bytes: int
    sentences: list[str] = Field(description="All of it, for a person.")
