"""Write the types of `scopebook.client` from the schema: `python -m scopebook_api.client_types`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import scopebook.client
from scopebook_api.openapi import schema
from scopebook_api.schemas import WRITTEN_AS_IS, Schema

_FOLDER: Final = Path(scopebook.client.__file__).parent / "types"
_HEAD: Final = '''"""What the API answers of {subject}; written by `make openapi`."""

from __future__ import annotations

from typing import {typing}
'''
_TYPING: Final = ("TYPE_CHECKING", "Any", "Literal", "NotRequired", "TypedDict")
_PLAIN: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}


def type_files() -> dict[str, str]:
    """Return the text of each module by its file name: one for each module of schemas."""
    components: dict[str, Any] = schema()["components"]["schemas"]  # type: ignore[index]
    homes = {
        # `Page[...]` has a component of its own for each kind of item; the client walks through.
        model.__name__: _home(model)
        for model in (*_models(Schema), *WRITTEN_AS_IS)
        if model.__name__ in components
    }
    files = {"__init__.py": '"""The API\'s JSON as types."""\n'}
    for home in sorted(set(homes.values())):
        names = [name for name in components if homes.get(name) == home]
        files[f"{home}.py"] = _module(home, names, components, homes)
    return files


def write() -> None:
    """Write the modules where the client has them."""
    for name, text in type_files().items():
        (_FOLDER / name).write_text(text)


def _models(base: type[Any]) -> Iterator[type[Any]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _home(model: type[Any]) -> str:
    return model.__module__.rsplit(".", 1)[-1].removesuffix("schemas").rstrip("_") or "feature"


def _module(home: str, names: list[str], components: dict[str, Any], homes: dict[str, str]) -> str:
    classes = [_class(name, components[name]) for name in names]
    used = {
        name
        for name, other in homes.items()
        if other != home and any(re.search(rf"\b{name}\b", text) for text in classes)
    }
    imports = "".join(
        f"    from scopebook.client.types.{other} import "
        f"{', '.join(sorted(name for name in used if homes[name] == other))}\n"
        for other in sorted({homes[name] for name in used})
    )
    guarded = f"\nif TYPE_CHECKING:\n{imports}" if imports else ""
    body = guarded + "\n\n" + "\n\n".join(classes)
    typing = ", ".join(name for name in _TYPING if re.search(rf"\b{name}\b", body))
    return _HEAD.format(subject=f"{home}s", typing=typing) + body


def _class(name: str, described: dict[str, Any]) -> str:
    asked = name.endswith("Request")
    required = described.get("required", [])
    meaning = described["description"].splitlines()[0]
    lines = [f"class {name}(TypedDict):", f'    """{meaning}"""', ""]
    for field, kind in described.get("properties", {}).items():
        written = _type(kind)
        # What is answered has all fields; what is asked may leave some out.
        lines.append(
            f"    {field}: NotRequired[{written}]"
            if asked and field not in required
            else f"    {field}: {written}"
        )
    return "\n".join(lines) + "\n"


def _type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return str(kind["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in kind:
        return " | ".join(dict.fromkeys(_type(option) for option in kind["anyOf"]))
    if "enum" in kind or "const" in kind:
        values = kind.get("enum", [kind.get("const")])
        return f"Literal[{', '.join(f'{chr(34)}{value}{chr(34)}' for value in values)}]"
    match kind.get("type"):
        case "array" if "items" in kind:
            return f"list[{_type(kind['items'])}]"
        case "array":
            return "list[Any]"
        case "object":
            values = kind.get("additionalProperties")
            return f"dict[str, {_type(values) if isinstance(values, dict) else 'Any'}]"
        case str(name):
            return _PLAIN[name]
    return "Any"


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{_FOLDER}\n")
