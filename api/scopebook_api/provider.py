"""Log in by an OpenID provider: the code flow with PKCE, and the checks of what comes back."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests import RequestException

from scopebook.errors import UnauthenticatedError, UnavailableError
from scopebook.settings import Settings

CALLBACK: Final = "/api/provider/callback"
#: Signed by a key that only the provider has; a shared secret or none is no signature of theirs.
_SIGNATURES: Final = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
_TIMEOUT_S: Final = 10.0
#: By how much two clocks may differ.
_LEEWAY_S: Final = 60


@dataclass(frozen=True)
class Visit:
    """What the browser keeps while its person is at the provider's."""

    state: str
    nonce: str
    verifier: str
    next: str

    def pack(self) -> str:
        """Return it as the value of a cookie."""
        return json.dumps(vars(self)).encode().hex()

    @classmethod
    def unpack(cls, kept: str | None) -> "Visit | None":
        """Return what a cookie holds, or None if it is none of ours."""
        try:
            values = json.loads(bytes.fromhex(kept or ""))
            return cls(**{name: str(values[name]) for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError):
            return None


class Provider:
    """One OpenID provider."""

    def __init__(self, issuer: str, client_id: str, secret: str | None, name: str) -> None:
        self.issuer, self.name = issuer, name
        self._client_id, self._secret = client_id, secret
        self._metadata: Mapping[str, Any] | None = None

    def send_off(self, visit: Visit, redirect_uri: str) -> str:
        """Return the address at the provider's to which a browser goes to log in."""
        with self._session(redirect_uri) as session:
            url, _ = session.create_authorization_url(
                self._find(session)["authorization_endpoint"],
                state=visit.state,
                nonce=visit.nonce,
                code_verifier=visit.verifier,
            )
        return str(url)

    def redeem(self, code: str, visit: Visit, redirect_uri: str) -> Mapping[str, Any]:
        """Return what the provider says of who has logged in there, once it is proved."""
        try:
            with self._session(redirect_uri) as session:
                metadata = self._find(session)
                token = session.fetch_token(
                    metadata["token_endpoint"], code=code, code_verifier=visit.verifier
                )
                answer = session.get(metadata["jwks_uri"], withhold_token=True)
                answer.raise_for_status()
                keys = KeySet.import_key_set(answer.json())
            return self._proved(str(token["id_token"]), keys, visit)
        except (OAuthError, JoseError, KeyError, ValueError) as error:
            raise UnauthenticatedError(f"{self.name} did not vouch for you: {error}.") from error
        except RequestException as error:
            raise UnavailableError(f"{self.name} does not answer; try again later.") from error

    def _proved(self, id_token: str, keys: KeySet, visit: Visit) -> Mapping[str, Any]:
        claims = jwt.decode(id_token, keys, algorithms=_SIGNATURES).claims
        expected = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": visit.nonce},
            exp={"essential": True},
            sub={"essential": True},
        )
        expected.validate(claims)
        return claims

    def _session(self, redirect_uri: str) -> Any:
        return OAuth2Session(
            self._client_id,
            self._secret,
            scope="openid profile email",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            default_timeout=_TIMEOUT_S,
        )

    def _find(self, session: Any) -> Mapping[str, Any]:
        """Return where the provider does what, which it tells itself; asked once."""
        if self._metadata is None:
            url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                answer = session.get(url, withhold_token=True)
                answer.raise_for_status()
                told = answer.json()
            except (RequestException, ValueError) as error:
                raise UnavailableError(
                    f"{self.name} does not answer at {self.issuer}; try again later."
                ) from error
            if told.get("issuer") != self.issuer:
                raise UnavailableError(
                    f"The provider at {self.issuer} calls itself {told.get('issuer')}; set "
                    "SCOPEBOOK_OIDC_ISSUER to that, letter by letter."
                )
            self._metadata = told
        return self._metadata


def new_visit(following: str) -> Visit:
    """Return what a browser keeps that goes to log in and comes back to a page."""
    return Visit(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=generate_token(64),
        next=following,
    )


def provider_of(settings: Settings) -> Provider | None:
    """Return the provider that the settings name, or None."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    return Provider(
        settings.oidc_issuer,
        settings.oidc_client_id,
        secret.get_secret_value() if secret else None,
        settings.oidc_name,
    )
