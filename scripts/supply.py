"""Audit what Scopebook is built on, or list it. usage: scripts/supply.py audit|sbom

`audit` asks the advisories of PyPI and npm; where one cannot be asked, it says so and goes on,
since a machine without internet is no fault of the code: only a known vulnerability ends in 1.
`sbom` writes CycloneDX files of the installed packages of Python and of the web app.
"""

import json
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "build" / "supply"
FOUND, CLEAN, UNASKED = "found", "clean", "unasked"


def tools() -> Path:
    """Return the folder of the tools, in an environment of their own, since none is part of it."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["supply"]
    noted = TOOLS / "installed"
    if not noted.exists() or noted.read_text().splitlines() != wanted:
        venv.create(TOOLS, with_pip=True, clear=True)
        pip = [TOOLS / "bin" / "python", "-m", "pip", "install", "-q", *wanted]
        subprocess.run(pip, check=True)
        noted.write_text("\n".join(wanted))
    return TOOLS / "bin"


def audit() -> int:
    """Return 1 where a vulnerability is known, else 0."""
    asked = ["-r", "constraints.txt", "--no-deps", "--disable-pip"]
    asked += ["--progress-spinner", "off", "-f", "json"]
    try:
        python = run([tools() / "pip-audit", *asked])
    except subprocess.CalledProcessError:
        python = ""  # pip has said why the tool cannot be had
    web = run(["scripts/frontend.sh", "npm", "audit", "--json"])
    states = [told("PyPI", *read_python(python)), told("npm", *read_web(web))]
    return int(FOUND in states)


def run(command: list[str | Path]) -> str:
    """Return what a command writes, whatever it ends with."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # pip-audit writes "No known vulnerabilities found" there, also when nobody has answered it.
    if not done.stdout:
        sys.stderr.write(done.stderr)
    return done.stdout


def read_python(said: str) -> tuple[str, list[str]]:
    """Return how pip-audit's answer ends, and its findings or what could not be asked.

    It takes a package that the source does not answer for as one that is not there, and ends
    well; a package of its own that PyPI does not know is not among the constraints.
    """
    packages = _json(said).get("dependencies", [])
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {bad['id']}"
        + (f", mended in {', '.join(bad['fix_versions'])}" if bad["fix_versions"] else "")
        for one in packages
        for bad in one.get("vulns", [])
    ]
    if found:
        return FOUND, found
    if not packages or skipped:
        return UNASKED, [f"{len(skipped)} of {len(packages)} packages were not answered for"]
    return CLEAN, [f"{len(packages)} packages"]


def read_web(said: str) -> tuple[str, list[str]]:
    """Return how npm's answer ends, and its findings or what could not be asked."""
    answer = _json(said)
    if "vulnerabilities" not in answer:
        return UNASKED, [str(answer.get("message", "npm gave no answer"))]
    found = [f"{name}: {one['severity']}" for name, one in answer["vulnerabilities"].items()]
    total = answer.get("metadata", {}).get("dependencies", {}).get("total", 0)
    return (FOUND, found) if found else (CLEAN, [f"{total} packages"])


def _json(said: str) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def told(source: str, state: str, lines: list[str]) -> str:
    """Say how an audit ended, and return that."""
    heads = {
        FOUND: f"{source}: known vulnerabilities; take a version that has none:",
        CLEAN: f"{source}: no known vulnerability:",
        UNASKED: f"{source}: NOT AUDITED, since its advisories cannot be asked from here; run it "
        "where they can:",
    }
    sys.stdout.write(f"{heads[state]}\n" + "".join(f"  {line}\n" for line in lines))
    return state


def sbom() -> int:
    """Write both lists under build/sbom."""
    folder = ROOT / "build" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [tools() / "cyclonedx-py", "environment", "--output-reproducible"]
    command += ["--pyproject", "pyproject.toml", "--of", "JSON"]
    command += ["-o", folder / "python.cdx.json", ROOT / ".venv/bin/python"]
    subprocess.run(command, cwd=ROOT, check=True)
    web = ["scripts/frontend.sh", "npm", "sbom", "--sbom-format", "cyclonedx"]
    (folder / "web.cdx.json").write_text(
        subprocess.run(web, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    for name in ("python.cdx.json", "web.cdx.json"):
        parts = json.loads((folder / name).read_text())["components"]
        sys.stdout.write(f"{folder.relative_to(ROOT) / name}: {len(parts)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit({"audit": audit, "sbom": sbom}[sys.argv[1]]())
