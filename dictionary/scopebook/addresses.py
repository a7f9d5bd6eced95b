"""Where a request that somebody asks for may go: not into this machine or its network.

An address that a person names could lead to what only this machine reaches: its own services, the
network behind it, a cloud's metadata. So the host is looked up, every address that it has must be a
public one, and the request goes to just that address, since a name may lead elsewhere a moment
later.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from scopebook.errors import InvalidInputError

_LONGEST: Final = 2_000
_PORTS: Final = {"http": 80, "https": 443}
#: IPv6 addresses that stand for the IPv4 address in their last four bytes.
_TRANSLATED: Final = ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Target:
    """An address that was looked up and may be asked."""

    host: str
    port: int
    address: str


def parts_of(url: str) -> SplitResult:
    """Return the parts of an http(s) URL, or refuse it; a password in it is refused too."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        len(url) > _LONGEST
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or parts.scheme not in _PORTS
        or not parts.hostname
        or port == 0
    ):
        raise InvalidInputError(
            f"{url[:80]!r} is no address that can be told of events; expected an http(s) URL of at "
            f"most {_LONGEST:,} characters, such as https://example.org/hook."
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError(
            "The address holds a user name or a password; leave them out, since what is sent is "
            "signed."
        )
    return parts


def look_up(url: str, *, private: bool) -> Target:
    """Return where a URL leads; refuse what is not public unless `private` allows it."""
    parts = parts_of(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise InvalidInputError(f"The host {host!r} is not known; correct the address.")
    if not private and not all(is_public(address) for address in addresses):
        raise InvalidInputError(
            f"The host {host!r} leads into this machine or a private network, which is not told of "
            "events; take a public one, or set SCOPEBOOK_WEBHOOKS_TO_PRIVATE=true."
        )
    return Target(host=host, port=port, address=addresses[0])


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the open internet, whatever it is wrapped in."""
    parsed: IPv4Address | IPv6Address = ip_address(address.split("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _TRANSLATED:
            inner = IPv4Address(int(parsed) & 0xFFFFFFFF)
        if parsed.teredo is not None:
            return False
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast
