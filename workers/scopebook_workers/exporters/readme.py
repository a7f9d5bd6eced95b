"""Write what the reader of an export sees first."""

from collections.abc import Iterator, Mapping
from typing import Any

from scopebook.export_targets import Target, losses
from scopebook_workers.exporters.plain_files import plain_file
from scopebook_workers.exporters.writing import json_line


def readme(document: Mapping[str, Any], target: Target) -> str:
    """Return the text of README.md: what the preset does, how it is loaded, and what to mind."""
    return "\n".join(_lines(document, target)) + "\n"


def caution_text(document: Mapping[str, Any]) -> str | None:
    """Return the release's own words on how its SAEs may be used; None: it has none."""
    caution = (document.get("notice") or {}).get("caution")
    return caution if isinstance(caution, str) and caution.strip() else None


def _lines(document: Mapping[str, Any], target: Target) -> Iterator[str]:
    model = document["model"]
    named = " ".join([document.get("name") or "A steering preset", *_version(document)])
    yield from (f"# {named}, for {target.title}", "")
    if document.get("description"):
        yield from (f"> {line}" for line in document["description"].splitlines())
        yield ""
    revision = f" at revision {model['revision']}" if model.get("revision") else ""
    yield from (f"Made with Scopebook for {model['id']}{revision}.", "")
    yield from ("## What it does", "", *_what_it_does(document), "")
    yield from ("## How to load it", "")
    yield _how_to(target, model["id"])
    yield from _notices(document)
    yield from ("## What is left out", "")
    yield from (f"- {loss}" for loss in losses(document, target.name))
    yield from ("", "## Files", "")
    yield "`preset.json` is the preset, `probe.json` what was measured: log-probabilities of the"
    yield "next token, steered and unsteered. `sha256sum -c MANIFEST.sha256` and `verify.py` check"
    yield "the files."


def _how_to(target: Target, model: str) -> str:
    text = plain_file(target.name, "HOWTO.md").decode()
    # A GGUF file lies in a folder; the others are found by their publisher too.
    return text.replace("MODEL.gguf", f"{model.rpartition('/')[2]}.gguf").replace("MODEL", model)


def _version(document: Mapping[str, Any]) -> list[str]:
    return [f"version {document['version']}"] if document.get("version") else []


def _what_it_does(document: Mapping[str, Any]) -> Iterator[str]:
    groups = {group["name"]: group["strength"] for group in document.get("groups") or ()}
    yield "| feature | label | operation | amount | times |"
    yield "|---|---|---|---|---|"
    for one in document["interventions"]:
        if one.get("enabled", True):
            label = json_line(one.get("label") or "").strip().strip('"').replace("|", "\\|")
            strength = groups.get(one.get("group"), 1.0)
            yield f"| {one['id']} | {label} | {one['op']} | {_amount(one)} | {strength:g} |"
    positions = document["positions"]
    special = ", special tokens not" if positions.get("exclude_special_tokens") else ""
    yield ""
    yield (
        f"Steered of the prompt: {positions['prompt']}; of what is written: "
        f"{positions['generation']}{special}."
    )


def _amount(one: Mapping[str, Any]) -> str:
    amount = one.get("strength") or one.get("target") or one.get("factor")
    if not amount:
        return ""
    if "absolute" not in amount or not amount.get("unit"):
        return f"{amount['value']:g}"
    return f"{amount['absolute']:g} ({amount['value']:g} {amount['unit']})"


def _notices(document: Mapping[str, Any]) -> Iterator[str]:
    caution = caution_text(document)
    warnings = (document.get("notice") or {}).get("warnings") or []
    if caution:
        yield from ("## What the SAEs' release says", "", f"> {caution}".replace("\n", "\n> "), "")
    if warnings:
        yield from ("## Warnings", "", *(f"- {warning}" for warning in warnings), "")
