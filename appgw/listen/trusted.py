"""
Whose word counts: trusted proxies, their forwarding headers and PROXY headers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from appgw.config.model import Network

_WHY: Final = {
    "untrusted": "it is not among trusted_proxies",
    "malformed": "it did not begin with a PROXY header",
    "late": "its PROXY header took too long",
    "unfinished": "it ended within its PROXY header",
}


def plain_address(address: str) -> str:
    """
    Return the address as it is compared: without zone, IPv4 as such.

    Args:
        address: as the system writes it.
    """
    address = address.partition("%")[0]
    # Others begin like it, but only IPv4 is written with dots.
    return address.removeprefix("::ffff:") if "." in address else address


def among(address: str, networks: tuple[Network, ...]) -> bool:
    """
    Tell whether a plain address belongs to one of *networks*.
    """
    if not networks:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


class Proxies:
    """
    Who may connect to a port with PROXY protocol, and who was sent away.

    Args:
        where: the port, for the log.
        networks: of the proxies; without any, everybody is sent away.
        count: told why, each time.
    """

    log = Logger()

    def __init__(
        self, where: str, networks: tuple[Network, ...], count: Callable[[str], None]
    ) -> None:
        self._where = where
        self._networks = networks
        self._count = count
        self._logged: set[str] = set()

    def trusts(self, address: str) -> bool:
        """
        Tell whether who connects from there may say whose connection it is.
        """
        return among(plain_address(address), self._networks)

    def refused(self, why: str, address: str) -> None:
        """
        Count it, and log it if it is the first for this reason.
        """
        self._count(why)
        if why not in self._logged:
            # One line each, or a scan of ports would fill the log.
            self._logged.add(why)
            self.log.warn(
                "{where}: refused a connection from {address}: {reason};"
                " more of them are only counted",
                where=self._where,
                address=plain_address(address),
                reason=_WHY[why],
            )
