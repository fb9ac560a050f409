"""Metrics in Prometheus' text format, for node exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from goldentooth.text import printable

Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""


@dataclass(frozen=True)
class Gauge:
    """One metric with all its samples; ``about`` is a sentence for people."""

    name: str
    about: str
    samples: tuple[Sample, ...]


def metrics_text(gauges: Iterable[Gauge]) -> str:
    """Return ``gauges`` as text; one without a sample is left out.

    Source: Prometheus, "Exposition formats", text-based format.

    >>> print(metrics_text([Gauge("up", "Whether it is up.", (({"host": "fenn"}, 1),))]), end="")
    # HELP up Whether it is up.
    # TYPE up gauge
    up{host="fenn"} 1
    """
    lines = []
    for gauge in gauges:
        if gauge.samples:
            lines += [f"# HELP {gauge.name} {gauge.about}", f"# TYPE {gauge.name} gauge"]
            lines += [
                f"{gauge.name}{_labels(labels)} {_number(value)}" for labels, value in gauge.samples
            ]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    quoted = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(quoted)}}}" if labels else ""


def _escaped(value: str) -> str:
    # a byte that is not UTF-8, from a host, would make the whole file unreadable
    return printable(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
