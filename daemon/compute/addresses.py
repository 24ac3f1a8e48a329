"""Where a worker may run, as a configuration names it: `local`, or `ssh://user@host:port`.

The parts of an address become words of a command line, so that each may have a few characters only, and none may begin as an option
does. What else a host needs (its keys, ways to it, other names) is said in ssh's own configuration.
"""

import re
from dataclasses import dataclass

LOCAL = "local"
SCHEME = "ssh://"
MOST_CHARACTERS = 300
EXAMPLE = f"write {LOCAL}, or an address like {SCHEME}user@gpu-box"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9][A-Za-z0-9._-]{0,31})?")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class SshAddress:
    """A machine that ssh reaches; `user` and `port` are ssh's own where they are None."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, said: str) -> "SshAddress":
        """Read `ssh://user@host:port`, of which user and port may be left out. Raises ValueError with the end of a sentence."""
        if not said.startswith(SCHEME) or len(said) > MOST_CHARACTERS:
            raise ValueError(f"is no place for a worker: {EXAMPLE}")
        user, at, place = said.removeprefix(SCHEME).rpartition("@")
        if ":" in user:
            raise ValueError("has a password in it, which anybody could read here: give the daemon a key, and write the user alone")
        if at and not _USER.fullmatch(user):
            raise ValueError(f"has a user whose name is none: {EXAMPLE}")
        if re.search(r"[/?#]", place):
            raise ValueError(
                f"has a path behind the host, and there is none: {EXAMPLE}; what is started there is compute.ssh_command"
            )
        host, port = _host_and_port(place)
        return cls(host, user or None, port)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{user}{host}{f':{self.port}' if self.port else ''}"


def _host_and_port(place: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        known = bool(bracket and ":" in host and _IPV6.fullmatch(host))
    else:
        host, colon, rest = place.partition(":")
        known, rest = bool(_HOST.fullmatch(host)), colon + rest
    if not known:
        raise ValueError(f"has a host whose name is none: {EXAMPLE}, or with an IPv6 address in brackets")
    if not rest:
        return host, None
    if not (rest.startswith(":") and _PORT.fullmatch(rest[1:]) and 1 <= int(rest[1:]) <= 65535):
        raise ValueError("has a port that is none: a number from 1 to 65535 may stand behind the host and a colon")
    return host, int(rest[1:])


def check_place(said: str) -> str:
    """The place as it was said. Raises ValueError, with the end of a sentence that begins with it, where it is none."""
    if said != LOCAL:
        SshAddress.parse(said)
    return said
