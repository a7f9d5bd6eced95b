"""A newcomer's first run, through the API and the command line."""

import json
import re
from typing import Any

import httpx2
import pytest

from running import Running, run

HAN = re.compile(r"[一-鿿]")


def examples_of(instance: Running, query: str) -> list[Any]:
    """Return the best examples of the first hits."""
    answer = instance.get(f"/api/search?q={query}&limit=5&preview=true")
    assert answer["items"], f"nothing answers {query}"
    return [hit["preview"] for hit in answer["items"] if hit["preview"]]


def test_the_first_run_completed_although_everything_was_killed(instance: Running) -> None:
    demo = instance.get("/api/status")["demo"]

    assert demo["state"] == "done"
    assert {step["state"] for step in demo["steps"]} == {"done"}
    assert demo["progress"] == 1.0


def test_searching_chinese_finds_chinese(instance: Running) -> None:
    texts = ["".join(t["text"] for t in e["tokens"]) for e in examples_of(instance, "Chinese text")]

    assert sum(bool(HAN.search(text)) for text in texts) >= 4


@pytest.mark.parametrize(
    ("query", "tag"), [("German", "de"), ("Python code", "python"), ("Bible", "bible")]
)
def test_searching_a_domain_finds_examples_of_it(instance: Running, query: str, tag: str) -> None:
    tags = [example["document"]["tag"] for example in examples_of(instance, query)]

    assert sum(found.startswith(tag) for found in tags) >= 3, tags


def test_search_finds_by_meaning(instance: Running) -> None:
    answer = instance.get("/api/search?q=scripture&limit=10")

    assert instance.get("/api/status")["semantic"]
    assert any("meaning" in hit["matched"] for hit in answer["items"])


def test_a_features_page_has_everything(instance: Running) -> None:
    hit = instance.get("/api/search?q=Chinese&limit=1")["items"][0]

    feature = instance.get(f"/api/features/{hit['id']}")

    assert feature["label"]["source"] == "keywords"
    assert feature["statistics"]["count"] > 0
    assert sum(feature["statistics"]["histogram"]["counts"]) == feature["statistics"]["count"]
    assert len(feature["promoted"]) == len(feature["suppressed"]) == 10
    assert len(feature["neighbours"]) == 10
    assert feature["statistics"]["top_tokens"]
    assert {example["kind"] for example in feature["examples"]} == {"best", "sample"}
    strongest = [
        example["activation"] for example in feature["examples"] if example["kind"] == "best"
    ]
    assert strongest == sorted(strongest, reverse=True)
    for example in feature["examples"]:
        peak = example["tokens"][example["peak"]]
        assert peak["activation"] == pytest.approx(example["activation"], rel=1e-2)
        assert "�" not in "".join(token["text"] for token in example["tokens"])


def test_the_command_line_finds_the_running_instance(instance: Running) -> None:
    done = run(instance.data_dir, "search", "Chinese text", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"][0]["label"]["text"].startswith("Chinese")


def test_a_second_demo_changes_nothing(instance: Running) -> None:
    before = instance.get("/api/status")

    done = run(instance.data_dir, "demo", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labelled"] == before["labelled"]
    assert instance.get("/api/status")["demo"]["id"] == before["demo"]["id"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["search", "x" * 10_000], 2, "10,000 characters"),
        (["search", "🙂🎉"], 2, "no letters or digits"),
        (["search", "x", "--release", "nope"], 2, "no release 'nope'"),
        (["feature", "nonsense"], 2, "nonsense"),
        (["feature", "Other-Model/1-res-w1k-l0_8/3"], 2, "Other-Model is not registered"),
        (["collect", "nope", "demo"], 2, "no release 'nope'"),
        (["corpus", "add", "x", "/nowhere/text.jsonl"], 2, "/nowhere/text.jsonl"),
        (["add", "/nowhere/SAE-Res-X-W1K-L0_8"], 2, "SAE-Res-X-W1K-L0_8"),
        (["add", "not a release"], 2, "not a release"),
    ],
)
def test_bad_input_gets_one_sentence(
    instance: Running, arguments: list[str], code: int, said: str
) -> None:
    before = instance.get("/api/status")

    done = run(instance.data_dir, *arguments)

    sentence = done.stderr.strip().splitlines()[-1]
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence.startswith("scopebook: ")
    assert said in sentence
    assert "Traceback" not in done.stderr
    after = instance.get("/api/status")
    assert {k: after[k] for k in ("releases", "corpora", "features")} == {
        k: before[k] for k in ("releases", "corpora", "features")
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/search?q=" + "x" * 10_000, 422),
        ("/api/search?q=%F0%9F%99%82", 422),
        ("/api/search", 422),
        ("/api/search?q=x&limit=0", 422),
        ("/api/features/Nope/1-res-w1k-l0_8/1", 404),
        ("/api/features/Nope/nonsense/1", 422),
        ("/api/jobs/999999", 404),
        ("/api/jobs/999999/events", 404),
        ("/api/nowhere", 404),
    ],
)
def test_the_api_answers_bad_input_with_a_problem(
    instance: Running, path: str, status: int
) -> None:
    response = httpx2.get(instance.url + path)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].endswith((".", "?"))
