"""An audit that nobody has answered is told as that, and never as a clean one."""

import json
import runpy
from pathlib import Path

SUPPLY = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "supply.py"))


def _answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": list(packages)})


def test_packages_that_are_not_answered_for_are_not_clean() -> None:
    read = SUPPLY["read_python"]
    known = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
    bad = {"name": "c", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}

    assert read(_answer(known))[0] == "clean"
    assert read(_answer(known, skipped))[0] == "unasked"
    assert read("")[0] == "unasked"
    assert read(_answer(skipped, bad)) == ("found", ["c 1: CVE-1, mended in 2"])


def test_an_npm_that_is_refused_is_not_clean() -> None:
    read = SUPPLY["read_web"]

    assert read('{"message": "405 Method Not Allowed"}') == ("unasked", ["405 Method Not Allowed"])
    assert read("")[0] == "unasked"
    assert read('{"vulnerabilities": {}}')[0] == "clean"
    assert read('{"vulnerabilities": {"x": {"severity": "high"}}}') == ("found", ["x: high"])
