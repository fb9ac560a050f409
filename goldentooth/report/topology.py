"""The network as a picture: who peers with whom, and what stands in front of the API. SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from goldentooth.model import Network, Node
from goldentooth.report.html import Html, element

_BOX = (150, 36)
_STEP = 46
_COLUMNS = (10, 330, 650)
_TOP = 54
_WIDTH = _COLUMNS[-1] + _BOX[0] + 10

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: currentColor; }
.name { font-weight: 600; }
.small { font-size: 11px; opacity: .8; }
rect { fill: rgba(128, 128, 128, .1); stroke: currentColor; stroke-opacity: .5; }
.bgp { stroke: #2f81f7; }
.api { stroke: #d29922; stroke-dasharray: 5 3; }
path { fill: none; stroke-width: 1.4; stroke-opacity: .75; }
"""


def topology_svg(network: Network) -> str:
    """Return the topology: router, its BGP neighbors, load balancers and the other hosts.

    It goes by the colours around it, light or dark.
    """
    balancers = network.load_balancers
    shown = {network.router, *network.bgp_neighbors, *balancers}
    others = [node for node in network.nodes.values() if node not in shown]
    # control planes first: lines to them do not cross the workers
    neighbors = [*network.control_planes, *network.workers]
    middle = _TOP + (len(neighbors) - 1) * _STEP / 2
    places = {
        network.router.name: (_COLUMNS[0], middle),
        **_column(neighbors, _COLUMNS[1]),
        **_column((*balancers, *others), _COLUMNS[2]),
    }
    height = int(max(y for _, y in places.values()) + _BOX[1] + 34)
    content = (
        element("title", f"Topology of {len(network.nodes)} hosts"),
        element("desc", _description(network)),
        element("style", Html(_STYLE)),
        *_headings(network),
        *(
            _line(places[network.router.name], places[node.name], "bgp")
            for node in network.bgp_neighbors
        ),
        *(
            _line(places[node.name], places[balancer.name], "api")
            for balancer in balancers
            for node in network.control_planes
        ),
        *(_box(network.nodes[name], place) for name, place in places.items()),
    )
    return element(
        "svg",
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {height}",
        role="img",
        style=f"max-width: {_WIDTH}px; width: 100%; color-scheme: light dark",
    )


def _description(network: Network) -> str:
    peers = ", ".join(node.name for node in network.bgp_neighbors)
    planes = ", ".join(node.name for node in network.control_planes)
    return (
        f"{network.router.name} has BGP sessions with {peers}."
        f" The API at {network.endpoint} is served by {planes}."
    )


def _headings(network: Network) -> Iterator[Html]:
    bgp = network.bgp
    yield _text(_COLUMNS[0], 18, f"AS {bgp.router_asn}", "name")
    yield _text(_COLUMNS[1], 18, f"AS {bgp.cluster_asn}: Kubernetes", "name")
    yield _text(_COLUMNS[2], 18, f"API {network.endpoint}", "name")
    for kind, x in (("bgp", _COLUMNS[0]), ("api", _COLUMNS[0] + 80)):
        yield element("path", class_=kind, d=f"M{x} 30H{x + 24}")
        yield _text(x + 30, 34, kind.upper(), "small")
    yield _text(_COLUMNS[1], 34, f"pool {network.load_balancer.pool}", "small")
    yield _text(_COLUMNS[2], 34, f"segment {network.infrastructure.cidr}", "small")


def _column(nodes: Iterable[Node], x: float) -> dict[str, tuple[float, float]]:
    return {node.name: (x, _TOP + index * _STEP) for index, node in enumerate(nodes)}


def _line(start: Sequence[float], end: Sequence[float], kind: str) -> Html:
    """Return a curve from the right side of one box to the left side of another."""
    x, y = start[0] + _BOX[0], start[1] + _BOX[1] / 2
    to_x, to_y = end[0], end[1] + _BOX[1] / 2
    bend = (x + to_x) / 2
    return element("path", class_=kind, d=f"M{x} {y}C{bend} {y} {bend} {to_y} {to_x} {to_y}")


def _box(node: Node, place: tuple[float, float]) -> Html:
    x, y = place
    width, height = _BOX
    return element(
        "g",
        element("title", f"{node.name}: {', '.join(node.roles)}"),
        element("rect", x=x, y=y, width=width, height=height, rx=5),
        _text(x + 8, y + 15, node.name, "name"),
        _text(x + 8, y + 29, f"{node.address} {_role(node)}", "small"),
    )


def _role(node: Node) -> str:
    roles = ("router", "control_plane", "worker", "haproxy")
    return next((role.replace("_", " ") for role in roles if role in node.roles), "")


def _text(x: float, y: float, text: str, kind: str) -> Html:
    return element("text", text, x=x, y=y, class_=kind)
