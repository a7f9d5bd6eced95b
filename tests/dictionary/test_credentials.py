"""Passwords and secrets."""

import pytest

from scopebook import credentials
from scopebook.credentials import check_password, digest, hash_password, new_secret

HASHER = credentials._hasher  # as the product has it, before tests make it cheap


@pytest.fixture
def _at_full_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_hasher", HASHER)


@pytest.mark.usefixtures("_at_full_cost")
def test_a_password_is_kept_at_the_cost_of_the_day() -> None:
    password = "four random words"
    kept = hash_password(password, "ada")

    assert kept.startswith("$argon2id$")
    memory_kib = int(kept.split("m=")[1].split(",")[0])
    assert memory_kib >= 19 * 1024  # what OWASP asks for at least
    assert check_password(password, kept) == (True, None)
    assert check_password("another password", kept) == (False, None)


def test_a_weak_hash_is_replaced_when_its_password_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weak = hash_password("four random words", "ada")
    monkeypatch.setattr(credentials, "_hasher", HASHER)

    right, stronger = check_password("four random words", weak)

    assert right
    assert stronger is not None
    assert check_password("four random words", stronger) == (True, None)


def test_nobody_has_no_password() -> None:
    assert check_password("", None) == (False, None)
    assert check_password("four random words", None) == (False, None)


def test_secrets_are_never_the_same() -> None:
    secrets = {new_secret() for _ in range(1000)}

    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {43}
    assert len({digest(secret) for secret in secrets}) == 1000
    assert digest("\ud800") != digest("")
