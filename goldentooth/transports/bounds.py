"""How long a host is waited for: ``user_defined: transport:`` of config.yaml. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from goldentooth.errors import UsageError
from goldentooth.validation import did_you_mean, shown_value

if TYPE_CHECKING:
    from nornir.core.configuration import Config

Where = Callable[..., object]
"""From the path of a setting, its place: a file and a line, if they are known."""

_MOST = 86400.0


def _in_config(*path: str) -> str:
    return f"config.yaml: user_defined: {': '.join(path)}"


@dataclass(frozen=True)
class Bounds:
    """Every wait for a host, in seconds."""

    connect_seconds: float = 10.0
    """Until the connection stands and the user is let in."""
    command_seconds: float = 10.0
    """One command; what is not done by then is ended."""
    host_seconds: float = 60.0
    """All that is asked of a host in one round trip."""
    silence_seconds: float = 6.0
    """A host that does not even answer keepalives is taken for dead."""
    run_seconds: float = 600.0
    """All hosts of one run."""

    @classmethod
    def of(cls, user_defined: Mapping[str, Any], where: Where = _in_config) -> Bounds:
        """Return the bounds that ``user_defined``, of Nornir's configuration, sets.

        ``where`` says where a setting stands, from its path.

        Raises:
            UsageError: if a key is not known or a value is no number of seconds.
        """
        settings = user_defined.get("transport")
        if settings is None:
            return cls()
        if not isinstance(settings, Mapping):
            raise UsageError(
                f"{where('transport')}: transport {shown_value(settings)} is not a mapping\n"
                "    write `key: value` lines below it, or leave it away"
            )
        return cls().changed(settings, lambda key: where("transport", key))

    def changed(self, settings: Mapping[str, Any], where: Where) -> Bounds:
        """Return them with ``settings``.

        Raises:
            UsageError: as :meth:`of` does.
        """
        known = [field.name for field in fields(self)]
        for key, value in settings.items():
            if key not in known:
                near = did_you_mean(str(key), known)
                raise UsageError(f"{where(str(key))}: unknown key {key!r} in transport: {near}")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value <= _MOST:
                raise UsageError(
                    f"{where(key)}: {key} {shown_value(value)} is not a number of seconds\n"
                    f"    write one over 0, up to {_MOST:.0f}"
                )
        return replace(self, **{key: float(value) for key, value in settings.items()})


def take_bounds(options: MutableMapping[str, Any], configuration: Config | None) -> Bounds:
    """Return the bounds of ``configuration`` with those of a connection's ``options``.

    The latter are taken out of the options.

    Raises:
        UsageError: if one is not a bound.
    """
    user_defined = configuration.user_defined if configuration else {}
    names = [field.name for field in fields(Bounds)]
    own = {name: options.pop(name) for name in names if name in options}
    return Bounds.of(user_defined).changed(own, lambda key: f"connection_options: extras: {key}")
