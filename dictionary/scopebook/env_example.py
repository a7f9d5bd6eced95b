"""`.env.example`: what `docker-compose.yml` takes from `.env`, and every setting explained."""

import sys
import textwrap
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scopebook.secret_files import SECRETS, variable
from scopebook.settings import Settings

#: What `docker-compose.yml` itself reads: name, an example or its default, what it is.
COMPOSE: Final = (
    ("COMPOSE_PROFILES", "cpu", "`gpu` where an NVIDIA card runs the models, else `cpu`."),
    (
        "SCOPEBOOK_FIRST_ADMIN",
        "ada",
        "The first admin; `docker compose logs migrate` has a link.",
    ),
    ("SCOPEBOOK_PUBLIC_URL", "http://localhost:8000", "Where people reach the pages."),
    ("PUBLISHED_ADDRESS", "127.0.0.1", "The address of this machine that the page listens on."),
    ("PUBLISHED_PORT", "8000", "And its port; no other port of any part is published."),
    (
        "FORWARDED_ALLOW_IPS",
        "127.0.0.1",
        "From whom the API takes X-Forwarded-For and -Proto: the address of your proxy as the "
        "container sees it, e.g. 172.16.0.0/12 for one on this machine.",
    ),
    ("SECRETS_DIR", "./secrets", "The folder that `scripts/secrets.sh` has filled."),
    ("HF_ENDPOINT", "https://huggingface.co", "The model hub, or a mirror of it."),
    ("HF_HUB_OFFLINE", "0", "1: nothing is fetched from the hub."),
    (
        "TORCH_BACKEND",
        "cu130",
        "The build of torch for your cards' driver. constraints.txt pins CUDA 13's libraries, "
        "which another build than cu130 needs taken out.",
    ),
    ("GPU_COUNT", "all", "How many GPUs collections take; each has a process of its own."),
    ("LIVE_GPU", "0", "The GPU for what people wait for; it may be one of those too."),
    ("POSTGRES_MEMORY", "4g", "The most memory of the database, of which 1 GB is its cache."),
    ("API_MEMORY", "2g", "The most memory of the API."),
    ("WORKER_MEMORY", "16g", "The most memory of each container of workers."),
    ("POSTGRES_CPUS", "0", "The most cores of the database; 0: all. No more than there are."),
    ("API_CPUS", "0", "The most cores of the API."),
    ("WORKER_CPUS", "0", "The most cores of each container of workers."),
)
#: Set by `docker-compose.yml` for every part; what `.env` says of them is not taken.
FIXED: Final = ("data_dir", "host", "port", "database_url", "broker_url")
_WIDTH: Final = 96
_HEAD: Final = """\
`make openapi` writes this file. Copy it to `.env` beside docker-compose.yml and change what you
need. Secrets do not belong here: they stand in files (docs/deploy.md)."""


def env_example() -> str:
    """Return the file."""
    parts = [_comment(_HEAD), "# --- What docker-compose.yml takes"]
    for name, value, meaning in COMPOSE:
        parts.append(f"{_comment(meaning)}\n{name}={value}")
    parts.append("# --- Settings of Scopebook, with their defaults; see docs/settings.md")
    named = [name for name, _, _ in COMPOSE]
    parts += [
        _setting(name, field)
        for name, field in Settings.model_fields.items()
        if name not in FIXED and variable(name) not in named
    ]
    return "\n\n".join(parts) + "\n"


def _setting(name: str, field: FieldInfo) -> str:
    bare = field.default is None or field.default is PydanticUndefined
    # Docker and shells take quotes off, and only those around the whole.
    default = "" if bare else f'"{field.default}"' if "'" in str(field.default) else field.default
    said = field.description or ""
    if name in SECRETS:
        said += f" Secret: better {variable(name)}_FILE, which names a file."
    return f"{_comment(said)}\n# {variable(name)}={default}"


def _comment(text: str) -> str:
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH)
    return "\n".join(f"# {line}" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(env_example())
