"""T4 in small: 24 features of each kind instead of 150; no gate is relaxed."""

import json

from benchmarks.labels import t4
from benchmarks.labels.prompt_material import library, plant, singles, unions
from benchmarks.labels.stubs.reader import groups_of

from scopebook_workers.labeling.prompts import request_for


def test_a_model_that_reads_the_prompt_names_the_right_concepts_and_no_other_does() -> None:
    result = t4.run(size=0.16)

    assert {gate.name: gate.value for gate in result.gates if not gate.holds} == {}


def test_what_the_reader_knows_is_neither_shown_nor_held_out() -> None:
    known = {
        block
        for module in library().values()
        for block, part in zip(module.blocks, module.parts, strict=True)
        if part == "known"
    }

    for planted in plant(singles(8), seed=0):
        for cluster in planted.material.clusters:
            assert not set(cluster.representatives) & set(cluster.held_out)
        assert not known & {firing.passage.text for firing in planted.material.firings}


def test_the_reader_sees_every_group_of_a_prompt_and_answers_for_each() -> None:
    [planted] = plant(unions(1), seed=0)
    request = request_for(planted.key, planted.material)
    messages = [{"role": m.role, "content": m.content} for m in request.messages]

    shown = groups_of(messages[1]["content"])
    answer = json.loads(t4.reader()(messages))

    assert {number: len(texts) for number, texts in shown.items()} == {
        number: len(cluster.representatives)
        for number, cluster in enumerate(planted.material.clusters)
    }
    assert sorted(n for sense in answer["senses"] for n in sense["clusters"]) == sorted(shown)
