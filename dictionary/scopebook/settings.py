"""Every setting of Scopebook, typed and read once from `SCOPEBOOK_*`."""

import re
import sys
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from scopebook.secret_files import SECRETS, SecretFiles, variable

#: What may stand in a list of sites of a content security policy, and nothing that ends it.
_SITE = re.compile(r"'self'|\*|https?://[A-Za-z0-9.*:-]+")


class Settings(BaseSettings):
    """All settings; each has a default that serves one person on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="SCOPEBOOK_",
        extra="ignore",
        env_parse_none_str="",  # an empty variable is an empty setting
    )

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("scopebook"),
        description="The one folder that holds all state of an embedded instance.",
    )
    database_url: str | None = Field(
        None,
        description="An external PostgreSQL 15+ with pgvector; empty starts the embedded one.",
    )
    broker_url: str | None = Field(
        None,
        description="An external Redis, Valkey or RabbitMQ; empty starts the embedded Valkey.",
    )
    artifacts_url: str | None = Field(
        None,
        description="Where shard results and exports lie: a folder or an fsspec URL; "
        "empty means `artifacts` in the data folder.",
    )
    host: str = Field("127.0.0.1", description="The address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="The port the API listens on.")
    public_url: str | None = Field(
        None,
        description="Where people reach the pages, e.g. https://scopebook.example.org; stands in "
        "links that are printed. Empty takes the host and the port.",
    )
    embed_sites: str = Field(
        "'self'",
        description="The sites whose pages may show the card of a feature (`/embed/...`) in a "
        "frame: `'none'`, `'self'`, `*` for all, or addresses parted by blanks, e.g. "
        "`https://wiki.example.org`. No other page can be framed.",
    )
    first_admin: str | None = Field(
        None,
        description="The account that a start makes where there is none: an admin, whose one-time "
        "link is printed.",
    )
    oidc_issuer: str | None = Field(
        None,
        description="An OpenID provider by which people may log in too: its issuer, as it calls "
        "itself; `PUBLIC_URL/api/provider/callback` is what it sends browsers back to.",
    )
    oidc_client_id: str | None = Field(
        None, description="What this instance is called at the `oidc` provider."
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="Its secret there; empty for a public client."
    )
    oidc_name: str = Field("single sign-on", description="What pages call the `oidc` provider.")
    oidc_new_role: Literal["viewer", "annotator", "editor"] | None = Field(
        "viewer",
        description="The role of who comes by the `oidc` provider for the first time; empty lets "
        "nobody new in.",
    )
    session_days: int = Field(
        14, ge=1, le=90, description="Days after which a browser that was not used is logged out."
    )
    logins_per_minute: int = Field(
        10,
        ge=1,
        description="How often a minute a password may be tried for one account; five times as "
        "often from one address.",
    )
    requests_per_minute: int = Field(
        6000, ge=1, description="How many requests a minute one account may make."
    )
    request_mb: int = Field(
        64, ge=1, description="Megabytes that one request may send; a larger one is refused."
    )
    api_processes: int = Field(
        1,
        ge=1,
        description="Processes that answer the API side by side; each takes 0.3 to 0.4 GB, and one "
        "keeps about one core busy.",
    )
    rate_limit_storage: str = Field(
        "memory://",
        description="Where requests are counted: in the API's memory, or where several of it share "
        "the count, e.g. `redis://host:6379`. Several `api_processes` count in the broker where "
        "that is a Redis, unless this names another place.",
    )
    webhooks_to_private: bool = Field(
        False,
        description="Whether webhooks may lead to this machine and private networks too; by "
        "default what a host name leads to must be a public address.",
    )
    workers: int = Field(
        0,
        ge=0,
        description="Worker processes of an embedded instance; 0 means one per GPU, "
        "else two, since each holds the model.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where models run; `auto` takes CUDA when a device is there."
    )
    torch_threads: int = Field(
        0, ge=0, description="CPU threads of one worker; 0 shares the cores among the workers."
    )
    embedder: str = Field(
        "all-MiniLM-L6-v2",
        description="The sentence-transformers model for labels: the one from the wheel, a folder "
        "or a hub id.",
    )
    embeddings_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-style server (`/v1`) that embeds instead of `embedder`.",
    )
    embeddings_model: str | None = Field(
        None, description="The model name sent to the embeddings server."
    )
    embeddings_api_key: SecretStr | None = Field(
        None, description="Bearer token of the embeddings server."
    )
    window_embedder_url: str | None = Field(
        None,
        description="Base URL of the server that gets `window_embedder_api_key` when "
        "`scopebook label --embedder` names it; no other server does.",
    )
    window_embedder_api_key: SecretStr | None = Field(
        None, description="Bearer token of the server `window_embedder_url`."
    )
    servers: str | None = Field(
        None,
        description="Base URLs (`/v1`), parted by blanks, of servers of language models and "
        "embeddings that editors may name, beside those of other settings; admins may name any.",
    )
    llm_endpoint: str | None = Field(
        None,
        description="The language model that words labels: base URL (`/v1`) of an "
        "OpenAI-compatible server, or the folder of a model; empty leaves keyword labels.",
    )
    llm_model: str | None = Field(None, description="The model name sent to the `llm` server.")
    llm_api_key: SecretStr | None = Field(None, description="Bearer token of the `llm` server.")
    llm_parallel: int = Field(
        64, ge=1, description="The most requests to a language model at once; fewer if it chokes."
    )
    llm_timeout_s: float = Field(
        120.0, gt=0, description="Seconds in which a language model must have answered."
    )
    llm_price_in: float | None = Field(
        None, ge=0, description="US dollars for a million tokens that the `llm` model reads."
    )
    llm_price_cached: float | None = Field(
        None,
        ge=0,
        description="US dollars for a million tokens that the `llm` model reads from its cache; "
        "empty takes the full price.",
    )
    llm_price_out: float | None = Field(
        None, ge=0, description="US dollars for a million tokens that the `llm` model writes."
    )
    judge_endpoint: str | None = Field(
        None,
        description="The language model that scores labels: a base URL (`/v1`) or a folder; it "
        "should be another model than the one that words them.",
    )
    judge_model: str | None = Field(None, description="The model name sent to the `judge` server.")
    judge_api_key: SecretStr | None = Field(
        None, description="Bearer token of the `judge` server; no other server gets it."
    )
    inference_workers: int = Field(
        1,
        ge=0,
        description="Inference workers of an embedded instance, which run texts that people wait "
        "for; each holds one model. 0: nobody can inspect or compare here.",
    )
    inference_tokens: int = Field(
        4096, ge=8, description="The most tokens that one text which is run live may have."
    )
    inference_total_tokens: int = Field(
        65_536, ge=8, description="The most tokens of all texts that are compared at once."
    )
    inference_memory_gb: float = Field(
        0.0,
        ge=0,
        description="Gigabytes that an inference worker fills with SAEs before it drops those "
        "that were used least recently; 0 means half of what is free beside the model.",
    )
    inference_waiting: int = Field(
        8, ge=1, description="How many requests to run a model one account may have waiting."
    )
    inference_deadline_s: float = Field(
        120.0, gt=0, description="Seconds after which nobody waits for a model any more."
    )
    inference_lease_s: float = Field(
        30.0,
        gt=0,
        description="Seconds after which an inference worker without a sign of life is taken for "
        "dead, and what it held is given to another.",
    )
    inference_patience_s: float = Field(
        30.0,
        gt=0,
        description="Seconds after which a request that no worker takes is told to have none.",
    )
    quota_jobs: int = Field(
        0, ge=0, description="How many jobs one account may have under way; 0: any number."
    )
    quota_corpora_mb: int = Field(
        0,
        ge=0,
        description="Megabytes that the texts of all corpora and scans may take together, as the "
        "database stores them; 0: any number.",
    )
    quota_llm_usd: float = Field(
        0.0,
        ge=0,
        description="US dollars that one job may spend on a language model of a server: the most "
        "that can be asked for, and the budget where none is; 0: any number.",
    )
    keep_scans_days: int = Field(
        0, ge=0, description="Days after which a scan that is over is deleted; 0: never."
    )
    keep_jobs_days: int = Field(
        0,
        ge=0,
        description="Days after which a job that is over, and of which nothing that it made is "
        "left, is forgotten with its steps; 0: never.",
    )
    keep_inferences_minutes: int = Field(
        60,
        ge=5,
        description="Minutes after which a text that was run live, and its answer, are forgotten.",
    )
    lease_s: float = Field(
        60.0, gt=0, description="Seconds a worker holds a step without a sign of life."
    )
    sweep_interval_s: float = Field(
        2.0, gt=0, description="Seconds between two looks for steps that are due."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description="How often a step may end in an unforeseen error before it is marked as "
        "failed; its workers may die eight times as often.",
    )
    context_tokens: int = Field(
        256,
        ge=8,
        le=65_535,
        description="The longest run of tokens that the model sees at once.",
    )
    shard_tokens: int = Field(
        0,
        ge=0,
        description="About how many tokens one shard of a collection holds; 0 means 100,000, or "
        "four for each feature that is collected if that is more.",
    )
    pg_bindir: Path | None = Field(
        None, description="Folder with `postgres` and `initdb`; empty takes the wheel's."
    )
    valkey_server: Path | None = Field(
        None, description="A `valkey-server` or `redis-server`; empty takes the wheel's."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much the logs say."
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="How the logs of all processes are written: lines for people, or a JSON object "
        "a line.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token that `GET /metrics` asks for; empty answers only who sits at the "
        "machine of the API, and nobody where `SCOPEBOOK_PUBLIC_URL` is set.",
    )

    @field_validator("embed_sites")
    @classmethod
    def _only_sites(cls, sites: str) -> str:
        """Refuse what would say something else in the header that it becomes part of."""
        if sites != "'none'" and not all(_SITE.fullmatch(site) for site in sites.split(" ")):
            raise PydanticCustomError(
                "sites",
                "“{given}” is no list of sites; write 'none', or 'self' (with its quotes), * and "
                "addresses such as https://wiki.example.org, parted by single blanks",
                {"given": sites},
            )
        return sites

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what is given in code, then the files of secrets, then the environment."""
        assert isinstance(env_settings, EnvSettingsSource)
        return init_settings, SecretFiles(settings_cls, env_settings), env_settings

    @property
    def artifacts(self) -> str:
        """The artifacts folder or URL, without a slash at its end."""
        return (self.artifacts_url or str(self.data_dir / "artifacts")).rstrip("/")


class _Current:
    """The settings in force in this process."""

    settings: Settings | None = None


def settings() -> Settings:
    """Return the settings of this process, read from the environment on first use."""
    if _Current.settings is None:
        _Current.settings = Settings()
    return _Current.settings


def use_settings(chosen: Settings) -> None:
    """Put settings in force for this process, e.g. those of the instance a command has found."""
    _Current.settings = chosen


def settings_table() -> str:
    """Return all settings as the Markdown table of `docs/settings.md`."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None or field.default_factory else f"`{field.default}`"
        if name == "data_dir":
            default = "`scopebook` in the user's data folder"
        rows.append(f"| `{variable(name)}` | {default} | {field.description} |")
    return "\n".join(rows)


def settings_page() -> str:
    """Return `docs/settings.md`."""
    files = ", ".join(f"`{variable(name)}`" for name in SECRETS)
    return (
        "# Settings\n\n"
        "Every setting is an environment variable; `make openapi` writes this page.\n\n"
        f"Those that may hold a secret, {files}, are also read from a file that the same name with "
        "`_FILE` at its end names, e.g. `SCOPEBOOK_DATABASE_URL_FILE=/run/secrets/database_url`. "
        "It holds one line, the value itself. Both at once are refused.\n\n"
        f"{settings_table()}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(settings_page())
