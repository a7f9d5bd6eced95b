"""Settings that hold secrets, read from files: `SCOPEBOOK_DATABASE_URL_FILE=/run/secrets/url`.

Containers are given their secrets so; an environment is seen by all that a process starts, and by
who inspects it.
"""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from scopebook.errors import InvalidInputError

#: Settings that hold a secret: keys, and addresses that may hold a password.
SECRETS: Final = (
    "database_url",
    "broker_url",
    "rate_limit_storage",
    "oidc_client_secret",
    "embeddings_api_key",
    "window_embedder_api_key",
    "llm_api_key",
    "judge_api_key",
    "metrics_token",
)


def variable(name: str) -> str:
    """Return the variable of a setting."""
    return f"SCOPEBOOK_{name.upper()}"


def without_files(environment: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """Return an environment without the files of settings that a child is given themselves."""
    given = {f"{variable(name)}_FILE" for name in names}
    return {name: value for name, value in environment.items() if name.upper() not in given}


class SecretFiles(PydanticBaseSettingsSource):
    """Reads a setting from the file that `SCOPEBOOK_<SETTING>_FILE` names."""

    def __init__(self, settings: type[BaseSettings], environment: EnvSettingsSource) -> None:
        super().__init__(settings)
        self._variables = environment.env_vars

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Return what the file of a setting holds; None where no file is named."""
        name = variable(field_name)
        path = self._variables.get(f"{name}_FILE".lower())
        if field_name not in SECRETS or not path or _is_yet_to_be_written(field_name):
            return None, field_name, False
        if self._variables.get(name.lower()):
            raise InvalidInputError(f"{name} and {name}_FILE are both set; unset one of them.")
        return _read(f"{name}_FILE", path), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings that files hold."""
        held = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in held.items() if value is not None}


def _is_yet_to_be_written(name: str) -> bool:
    """Tell whether this command writes the file, which the variables of all parts may name."""
    return name == "database_url" and sys.argv[1:2] == ["database"]


def _read(variable: str, path: str) -> str:
    """Return a file's one line, without the end that editors give it."""
    try:
        held = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInputError(
            f"{variable} names {path}, which cannot be read ({error.strerror}); name a file that "
            "this user may read, or unset it."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{variable} names {path}, which is no text.") from error
    if not held or len(held.splitlines()) > 1:
        raise InvalidInputError(
            f"{variable} names {path}, which must hold one line, the value itself, and holds "
            f"{'nothing' if not held else 'several'}."
        )
    return held
