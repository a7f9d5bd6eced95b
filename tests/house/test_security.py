"""What the threat model promises is there: its tests exist, and nothing runs what a file brings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
THREATS = ROOT / "docs" / "security.md"
SOURCES = [ROOT / name for name in ("dictionary", "api", "workers", "migrations", "demo")]
#: `tests/folder/test_file.py::test_name`
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
#: What makes code of data, by the name that it is called by.
RUNS_DATA = {"eval", "exec", "pickle.load", "pickle.loads", "joblib.load", "yaml.load", "os.system"}


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield every call of the product: where it stands, what is called."""
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            # Programs for people who have no Scopebook; they load models that these people choose.
            if "exporters/files" in path.as_posix():
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield where, ast.unparse(node.func), node


def _says(call: ast.Call, name: str, value: str) -> bool:
    return any(given.arg == name and ast.unparse(given.value) == value for given in call.keywords)


def test_each_threat_names_its_tests_and_each_of_them_exists() -> None:
    sections = re.split(r"^### ", THREATS.read_text(), flags=re.MULTILINE)[1:]
    missing = []

    for section in sections:
        title = section.splitlines()[0]
        named = NAMED.findall(section)
        assert named, f"{title}: no test is named"
        for word in ("**What could happen.**", "**What holds it.**", "**What remains.**"):
            assert word in section, f"{title}: {word} is missing"
        for path, name in named:
            file = ROOT / path
            if not file.is_file() or f"def {name}(" not in file.read_text():
                missing.append((title, path, name))

    assert len(sections) >= 12
    assert missing == []


def test_nothing_makes_code_of_data() -> None:
    assert [where for where, called, _ in _calls() if called in RUNS_DATA] == []


def test_checkpoints_are_read_as_tensors_alone() -> None:
    loads = [(where, call) for where, called, call in _calls() if called == "torch.load"]

    assert loads
    assert [where for where, call in loads if not _says(call, "weights_only", "True")] == []


def test_arrays_are_read_without_the_objects_that_could_be_in_them() -> None:
    loads = [(where, call) for where, called, call in _calls() if called == "np.load"]

    assert loads
    assert [where for where, call in loads if _says(call, "allow_pickle", "True")] == []


def test_no_program_that_lies_beside_a_model_is_run() -> None:
    loads = [
        (where, call)
        for where, called, call in _calls()
        if where.startswith("workers/")
        and (called.endswith(".from_pretrained") or called == "SentenceTransformer")
    ]

    assert len(loads) >= 6
    assert [where for where, call in loads if not _says(call, "trust_remote_code", "False")] == []


def test_shells_are_given_no_text() -> None:
    assert [where for where, _, call in _calls() if _says(call, "shell", "True")] == []


def test_pages_make_no_html_of_text() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted((ROOT / "frontend" / "src").rglob("*"))
        if path.suffix in (".svelte", ".ts", ".html")
        for word in ("{@html", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write")
        if word in path.read_text()
    ]

    assert found == []
