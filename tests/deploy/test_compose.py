"""The compose file is valid, closed to others, and names what there is.

Docker Compose itself reads it, from a package; it needs no engine for that.
"""

import os
import re
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from scopebook.env_example import COMPOSE, FIXED, env_example
from scopebook.jobs import LIVE, QUEUES
from scopebook.secret_files import SECRETS, variable
from scopebook.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
SERVERS = {"postgres", "broker"}
ALWAYS = {"migrate", "api", "sweep"}
BY_PROFILE = {"cpu": {"worker", "live"}, "gpu": {"worker-cpu", "worker-gpu", "live-gpu"}}


def read(profiles: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Let Docker Compose read the file: the package's, or the machine's plugin."""
    # The program itself: the package's script ends with 0 whatever is wrong.
    package = find_spec("compose")
    program = (
        Path(package.origin).with_name("docker-compose") if package and package.origin else None
    )
    command = [str(program)] if program else ["docker", "compose"]
    return subprocess.run(
        [*command, "-f", str(FILE), "--env-file", str(EXAMPLE), "config"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "COMPOSE_PROFILES": profiles, **variables},
    )


def config(profiles: str) -> dict[str, Any]:
    """Return the services of some profiles as Docker Compose understands them."""
    done = read(profiles)
    # Nothing on stderr: no variable without a value, nothing that is ignored.
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return services


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """All services."""
    return config("cpu,gpu")


def ours(services: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of Scopebook, without the servers."""
    return {name: service for name, service in services.items() if name not in SERVERS}


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_profile_runs_what_it_is_for_and_serves_every_queue(profile: str) -> None:
    found = config(profile)
    served = [
        queue
        for service in found.values()
        if service["command"][0] == "worker"
        for queue in service["command"][2].split(",")
    ]

    assert set(found) == SERVERS | ALWAYS | BY_PROFILE[profile]
    assert sorted(served) == sorted([*QUEUES, LIVE])


def test_an_admin_must_be_named() -> None:
    done = read("cpu", SCOPEBOOK_FIRST_ADMIN="")

    assert done.returncode != 0
    assert "name the first admin in .env" in done.stderr


def test_only_the_api_is_published_and_to_this_machine_only(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert list(ports) == ["api"]
    assert [(port["host_ip"], port["target"]) for port in ports["api"]] == [("127.0.0.1", 8000)]
    assert {name for name in SERVERS if "outside" in services[name]["networks"]} == set()
    assert yaml.safe_load(FILE.read_text())["networks"]["servers"] == {"internal": True}


def test_every_container_is_closed(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        # No limit of cores unless one is set: Docker refuses more than the machine has.
        assert "memory" in service["deploy"]["resources"]["limits"], name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        # What may be written to is in memory, or a volume with a name.
        assert service["tmpfs"], name
        assert all(volume["type"] == "volume" for volume in service.get("volumes", [])), name


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_one_service_of_a_profile_builds_an_image_and_none_is_fetched(profile: str) -> None:
    of_profile = ours(config(profile))
    images = {service["image"] for service in of_profile.values()}

    built = [service["image"] for service in of_profile.values() if "build" in service]

    assert sorted(built) == sorted(images)
    assert {service.get("pull_policy") for service in of_profile.values()} == {"never"}


def test_the_parts_start_once_the_servers_are_healthy_and_migrated(
    services: dict[str, Any],
) -> None:
    for name, service in ours(services).items():
        conditions = {on: what["condition"] for on, what in service["depends_on"].items()}
        if name == "migrate":
            assert conditions == {"postgres": "service_healthy"}
        else:
            assert conditions == {
                "postgres": "service_healthy",
                "broker": "service_healthy",
                "migrate": "service_completed_successfully",
            }, name
    assert all("test" in services[name]["healthcheck"] for name in SERVERS)


def test_the_parts_share_the_folder_of_artifacts_and_their_user(services: dict[str, Any]) -> None:
    for name, service in ours(services).items():
        mounts = {volume["source"]: volume["target"] for volume in service["volumes"]}
        assert mounts["data"] == service["environment"]["SCOPEBOOK_DATA_DIR"], name
        assert mounts["hub"] == service["environment"]["HF_HOME"], name
        assert service["user"] == "10001:10001", name


def test_secrets_come_as_files_and_stand_in_no_environment(services: dict[str, Any]) -> None:
    for name, service in services.items():
        files = {f"/run/secrets/{secret['source']}" for secret in service["secrets"]}
        for key, value in service.get("environment", {}).items():
            setting = key.removesuffix("_FILE").removeprefix("SCOPEBOOK_").lower()
            if key.endswith("_FILE"):
                assert value in files, (name, key)
                assert setting in SECRETS or name == "postgres", (name, key)
            else:
                assert setting not in SECRETS, (name, key)


def test_all_variables_are_settings_or_explained(services: dict[str, Any]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    known |= {f"{variable(name)}_FILE" for name in SECRETS}
    for name, service in ours(services).items():
        named = {key for key in service["environment"] if key.startswith("SCOPEBOOK_")}
        assert named <= known, name
        assert {variable(setting) for setting in ("data_dir", "host", "port")} <= named
    explained = {name for name, _, _ in COMPOSE}
    asked = set(re.findall(r"\$\{(\w+)", FILE.read_text()))
    assert asked <= explained
    # The others reach the parts by `env_file`, or Docker Compose itself.
    assert explained - asked == {
        *("COMPOSE_PROFILES", "SCOPEBOOK_PUBLIC_URL"),
        *("FORWARDED_ALLOW_IPS", "HF_ENDPOINT", "HF_HUB_OFFLINE"),
    }


def test_the_gpus_go_to_the_workers_that_run_models(services: dict[str, Any]) -> None:
    with_gpu = {
        name: service["deploy"]["resources"]["reservations"]["devices"][0]
        for name, service in services.items()
        if "reservations" in service["deploy"]["resources"]
    }

    assert with_gpu.keys() == {"worker-gpu", "live-gpu"}
    for device in with_gpu.values():
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    # No --processes: there is one for each GPU.
    assert services["worker-gpu"]["command"] == ["worker", "--queues", "gpu"]


def test_the_example_is_current_and_names_every_setting() -> None:
    assert EXAMPLE.read_text() == env_example(), "run `make openapi`"
    named = set(re.findall(r"^#? ?(SCOPEBOOK_\w+)=", env_example(), flags=re.MULTILINE))
    assert named == {variable(name) for name in Settings.model_fields if name not in FIXED}


def test_the_example_can_be_used_with_every_line_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in env_example().splitlines():
        if found := re.fullmatch(r'#? ?(SCOPEBOOK_\w+)="?(.*?)"?', line):
            monkeypatch.setenv(found[1], found[2])

    chosen = Settings()

    assert chosen.model_dump(exclude={"first_admin", "public_url"}) == Settings.model_construct(
        **{name: getattr(chosen, name) for name in FIXED}
    ).model_dump(exclude={"first_admin", "public_url"})


def test_the_passwords_are_made_once_in_a_closed_folder(tmp_path: Path) -> None:
    command = [str(ROOT / "scripts/secrets.sh"), str(tmp_path / "secrets")]

    made = subprocess.run(command, capture_output=True, text=True, check=True)
    held = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    again = subprocess.run(command, capture_output=True, text=True)

    wanted = yaml.safe_load(FILE.read_text())["secrets"].values()
    assert held.keys() == {Path(secret["file"]).name for secret in wanted}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert f":{held['database_password']}@postgres:5432/" in held["database_url"]
    broker = held["broker_conf"].split()[1]
    assert held["broker_url"] == f"redis://:{broker}@broker:6379/0\n"
    assert broker != held["database_password"]
    assert min(len(broker), len(held["database_password"])) >= 40
    assert broker not in made.stdout
    assert again.returncode == 1
    assert {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()} == held
