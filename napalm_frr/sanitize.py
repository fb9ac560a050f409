"""The lines of an FRR configuration that hold secrets."""

from __future__ import annotations

from napalm.base.helpers import sanitize_config

_REMOVED = r"\1 <removed>"

FILTERS = {
    r"^( *neighbor \S+ password) .+$": _REMOVED,  # BGP, LDP
    r"^( *(?:enable )?password(?: 8)?) \S.*$": _REMOVED,  # of vtys
    r"^( *(?:area-password|domain-password|isis password) (?:clear|md5)) \S+": _REMOVED,
    r"^(.*\bmessage-digest-key \d+ md5) \S+": _REMOVED,  # OSPF
    r"^( *(?:ip ospf|area \S+ virtual-link \S+) authentication-key) \S+": _REMOVED,
    r"^( *ipv6 ospf6 authentication .*\bkey) \S+": _REMOVED,
    r"^( *ip rip authentication string) .+$": _REMOVED,
    r"^( *key-string) .+$": _REMOVED,  # key chains: RIP, EIGRP
    r"^( *ip nhrp authentication) .+$": _REMOVED,
    r"^( *(?:ip )?msdp peer \S+ .*\bpassword) .+$": _REMOVED,
}
"""What stands before a secret, and what stands there then, as NAPALM's other drivers have it."""


def without_secrets(configuration: str) -> str:
    r"""Return ``configuration`` without secrets.

    >>> without_secrets("router bgp 64500\n neighbor 10.4.0.15 password 7 words\n")
    'router bgp 64500\n neighbor 10.4.0.15 password <removed>\n'
    """
    return str(sanitize_config(configuration, FILTERS))
