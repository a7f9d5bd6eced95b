"""Rules of the house that a linter cannot express."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / folder
    for folder in (
        "dictionary/scopebook",
        "api/scopebook_api",
        "workers/scopebook_workers",
        "migrations/scopebook_migrations",
        "demo/scopebook_demo",
    )
]
LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def modules() -> list[Path]:
    """Return every Python file of the product."""
    return [path for source in SOURCES for path in sorted(source.rglob("*.py"))]


def test_one_function_commits() -> None:
    commits = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "commit"
            or (node.func.attr == "begin" and ast.unparse(node.func.value) != "transaction")
        )
    }

    assert commits == {"dictionary/scopebook/db/sessions.py"}


def imported_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a statement."""
    code = (
        f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_api_starts_without_torch() -> None:
    held = imported_by("import scopebook_api.app")

    assert "fastapi" in held
    assert not held & {"torch", "transformers", "safetensors", "sentence_transformers", "sklearn"}


def test_a_step_that_asks_a_server_for_labels_imports_no_torch() -> None:
    held = imported_by("import scopebook_workers.tasks.word")

    assert "httpx2" in held
    assert not held & {"torch", "transformers", "sentence_transformers"}


def test_the_command_line_starts_without_torch_and_fastapi() -> None:
    held = imported_by(
        "from scopebook.cli import app; from typer.main import get_group; commands = get_group(app)"
        "\nfor name in commands.list_commands(None): assert commands.get_command(None, name)"
    )

    assert {"typer", "pyarrow"} <= held
    assert not held & {"torch", "transformers", "fastapi", "starlette"}


def test_the_client_needs_no_server_and_the_package_loads_nothing() -> None:
    bare = imported_by("import scopebook")
    held = imported_by("from scopebook import Client")

    assert not bare & {"httpx2", "pydantic", "sqlalchemy"}
    assert "httpx2" in held
    assert not held & {"torch", "fastapi", "starlette", "sqlalchemy", "celery", "pydantic"}


def test_the_workers_start_without_fastapi() -> None:
    held = imported_by("import scopebook_workers.app")

    assert "celery" in held
    assert not held & {"fastapi", "starlette"}


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in modules()
        # A migration is written once, in one piece, and never read as code again.
        if "versions" not in path.parts
    }

    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in modules()
        if "versions" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    }

    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    # Who starts a process hands its environment on, and a pool process shares out the cores. What
    # API processes count in is named by prometheus_client's own variable.
    assert readers == {
        "api/scopebook_api/metrics.py",
        *(
            f"dictionary/scopebook/embedded/{name}.py"
            for name in ("connection", "postgres", "programs", "valkey")
        ),
        "workers/scopebook_workers/process.py",
    }
