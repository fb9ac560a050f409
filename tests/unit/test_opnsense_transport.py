"""The way to an OPNsense router: what it says of every fault, and that the next run converges.

The router is the simulator, in this process and over real TLS.
"""

from __future__ import annotations

import json
import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldentooth import https
from goldentooth.errors import (
    AuthenticationError,
    GoldentoothError,
    HostKeyError,
    PrivilegeError,
    TooSlowError,
    TransportError,
    UnreachableError,
)
from goldentooth.model import Network
from goldentooth.opnsense import Intended, intended_state, plan, with_secrets
from goldentooth.opnsense.models import HOST_OVERRIDE, NEIGHBOR
from goldentooth.opnsense.state import own_uuid
from goldentooth.secrets import Secrets
from goldentooth.transports import opnsense
from goldentooth.transports.bounds import Bounds
from goldentooth.transports.opnsense import (
    ApplyResult,
    ChangedMeanwhileError,
    OpnsenseTransport,
    RefusedError,
    UncertainError,
    WrongRouterError,
)
from tests.certificates import TestAuthority
from tests.opnsense_router import KEY, LIMITED, SECRET, SimulatedRouter
from tests.sites import Site


@pytest.fixture
def router(tmp_path: Path) -> Iterator[SimulatedRouter]:
    router = SimulatedRouter(tmp_path)
    yield router
    router.stop()


@pytest.fixture
def intended(network: Network) -> Intended:
    return intended_state(network)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opnsense, "BACKOFF_SECONDS", 0.001)


def deploy(router: SimulatedRouter, intended: Intended) -> ApplyResult:
    with router.transport() as transport:
        return transport.apply(plan(intended, transport.observe()), intended)


def assert_all_is_well(router: SimulatedRouter, intended: Intended) -> None:
    with router.transport() as transport:
        assert plan(intended, transport.observe()).is_empty


# -- all is well -----------------------------------------------------------------------------


def test_a_plan_is_carried_out_and_live_with_one_reconfigure_a_service(
    router: SimulatedRouter, intended: Intended
) -> None:
    result = deploy(router, intended)
    assert result.error is None
    assert result.is_live
    assert result.not_made == ()
    assert router.routing.applied == 1
    assert_all_is_well(router, intended)


def test_an_empty_plan_makes_no_write(router: SimulatedRouter, intended: Intended) -> None:
    deploy(router, intended)
    router.break_(fail_all=True)
    result = deploy(router, intended)
    assert result.error is None
    assert router.routing.applied == 1


@pytest.mark.parametrize("naming", ["camel", "snake", None])
def test_both_styles_of_names_are_spoken(
    router: SimulatedRouter, intended: Intended, naming: str | None
) -> None:
    router.break_(naming=naming)
    assert deploy(router, intended).error is None
    assert_all_is_well(router, intended)


def test_a_backup_is_put_back_and_names_the_routers_own_history(
    router: SimulatedRouter, intended: Intended
) -> None:
    router.ask("POST", "quagga/bgp/set", {"bgp": {"asnumber": "65530"}})
    before = json.dumps(router.config)
    result = deploy(router, intended)
    assert result.backup.history is not None
    assert result.backup.history.startswith("config-")
    with router.transport() as transport:
        restored = transport.restore(result.backup)
    assert restored.error is None
    assert restored.is_live
    assert json.loads(json.dumps(router.config)) == json.loads(before)
    assert "neighbor" not in router.routing.running


# -- who is there ----------------------------------------------------------------------------


def failure(router: SimulatedRouter, **changes: Any) -> GoldentoothError:
    with pytest.raises(GoldentoothError) as caught, router.transport(**changes) as transport:
        transport.observe()
    return caught.value


def test_another_box_is_refused_before_anything_is_read(router: SimulatedRouter) -> None:
    error = failure(router, host_name="gateway")
    assert isinstance(error, WrongRouterError)
    assert "calls itself router.nodes.goldentooth.net, and the facts mean gateway" in str(error)


def test_a_key_that_is_not_known_is_an_error_of_the_key(router: SimulatedRouter) -> None:
    error = failure(router, secret="wrong")
    assert isinstance(error, AuthenticationError)
    assert "refuses the API key" in str(error)


def test_a_key_without_the_privilege_names_what_it_may_not(router: SimulatedRouter) -> None:
    error = failure(router, key=LIMITED)
    assert isinstance(error, PrivilegeError)
    assert "may not use quagga/general/get" in str(error)


def test_a_router_without_the_plugin_says_what_to_install(router: SimulatedRouter) -> None:
    router.break_(missing=True)
    error = failure(router)
    assert "os-frr is not installed" in str(error)
    assert "System: Firmware: Plugins" in str(error)


def test_an_expired_certificate_is_not_told_the_key(router: SimulatedRouter) -> None:
    router.break_(expired=True)
    error = failure(router)
    assert isinstance(error, HostKeyError)
    assert "certificate has expired" in str(error)


def test_a_certificate_of_another_authority_is_not_told_the_key(
    router: SimulatedRouter, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = TestAuthority(tmp_path / "other").certificate
    error = failure(router, ca=other)
    assert isinstance(error, HostKeyError)
    assert "not trusted" in str(error)
    assert isinstance(failure(router, ca=None), HostKeyError)


def test_a_certificate_of_another_name_is_not_told_the_key(router: SimulatedRouter) -> None:
    error = failure(router, url=router.url.replace("127.0.0.1", "localhost"))
    assert isinstance(error, HostKeyError)


def test_there_is_no_way_to_leave_the_certificate_unchecked() -> None:
    source = Path(opnsense.__file__).read_text() + Path(https.__file__).read_text()
    assert "context=trust" in source
    assert "_create_" not in source
    assert "CERT_NONE" not in source
    assert "check_hostname" not in source


def test_a_ca_that_cannot_be_read_is_named(router: SimulatedRouter, tmp_path: Path) -> None:
    for content in (None, "no certificate"):
        path = tmp_path / "own.crt"
        if content:
            path.write_text(content)
        with pytest.raises(TransportError, match=r"own\.crt: is no readable certificate"):
            router.transport(ca=path)


def test_nobody_there_is_unreachable(router: SimulatedRouter) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert isinstance(failure(router, url=url), UnreachableError)


def test_a_slow_router_is_not_waited_for_without_end(router: SimulatedRouter) -> None:
    router.break_(slow=1.5)
    started = time.monotonic()
    bounds = Bounds(connect_seconds=5, command_seconds=0.2, host_seconds=1)
    error = failure(router, bounds=bounds)
    assert isinstance(error, TooSlowError)
    assert time.monotonic() - started < 20


def test_a_slow_router_is_waited_for_within_bounds(
    router: SimulatedRouter, intended: Intended
) -> None:
    router.break_(slow=0.02)
    assert deploy(router, intended).error is None


def test_a_slow_router_has_the_time_of_a_host_for_all_that_is_read(
    router: SimulatedRouter,
) -> None:
    router.break_(slow=0.3)
    bounds = Bounds(connect_seconds=5, command_seconds=5, host_seconds=1)
    begun = time.monotonic()
    with router.transport(bounds=bounds) as transport, pytest.raises(TooSlowError):
        transport.observe()
    assert time.monotonic() - begun < 4
    router.heal()
    with router.transport() as transport:
        transport.observe()


# -- what goes wrong while it is changed -----------------------------------------------------


def writes(intended: Intended) -> int:
    return len(intended.items) + 2 + 2  # objects, settings of two models, two reconfigures


def test_a_failure_at_any_call_is_told_and_made_good_by_the_next_run(
    network: Network, tmp_path: Path
) -> None:
    small = intended_state(network.only(["bettley", "fenn"]))
    for number in range(1, writes(small) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        router = SimulatedRouter(folder)
        router.break_(fail_at=number)
        result = deploy(router, small)
        assert isinstance(result.error, RefusedError), number
        assert not result.is_live
        objects = len(small.items) + 2
        assert len(result.made) == min(number - 1, objects)
        assert len(result.made) + len(result.not_made) == objects
        router.heal()
        again = deploy(router, small)
        assert again.error is None, number
        assert_all_is_well(router, small)
        router.stop()


def test_a_connection_cut_after_a_write_is_not_known_and_shown_by_the_next_plan(
    router: SimulatedRouter, intended: Intended
) -> None:
    router.break_(cut_at=7)
    result = deploy(router, intended)
    assert isinstance(result.error, UncertainError)
    assert str(result.uncertain) == "neighbor 10.4.0.13"
    assert len(result.made) == 6
    assert "not known" in str(result.error)
    assert any(line.startswith("not known: create neighbor") for line in result.lines())
    router.heal()
    with router.transport() as transport:
        left = [str(change) for change in plan(intended, transport.observe()).changes]
    assert "neighbor 10.4.0.13" not in left
    assert deploy(router, intended).error is None
    assert_all_is_well(router, intended)


def test_a_reconfigure_that_is_cut_off_is_not_known(
    router: SimulatedRouter, intended: Intended
) -> None:
    router.break_(cut_at=writes(intended) - 1)
    result = deploy(router, intended)
    assert isinstance(result.error, UncertainError)
    assert result.uncertain is None
    assert len(result.made) == len(intended.items) + 2


def test_what_frr_does_not_run_is_not_called_live(
    router: SimulatedRouter, intended: Intended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router.routing, "apply", lambda _: None)  # the router says ok all the same
    result = deploy(router, intended)
    assert isinstance(result.error, RefusedError)
    assert "does not run it" in str(result.error)
    assert not result.is_live
    count = len(result.made)
    assert f"{count} saved on the router, and reconfigured, but not run" in result.lines()
    uuid = own_uuid(intended.mark, NEIGHBOR, "10.4.0.11")
    router.ask("POST", f"quagga/bgp/setNeighbor/{uuid}", {"neighbor": {"weight": "9"}})
    router.break_(fail_at=2)
    lines = deploy(router, intended).lines()
    assert "1 saved on the router, and not live: the services were not reconfigured" in lines


def test_a_password_that_looks_like_html_is_deployed(
    router: SimulatedRouter, network: Network
) -> None:
    """OPNsense sends clients with a key JSON as it is (isExternalClient of its API's base)."""
    bgp = msgspec.structs.replace(network.bgp, password="${env:BGP}")
    for password in ("x&lty9", "a&amp;b<c>&#39;"):
        intended = with_secrets(intended_state(replace(network, bgp=bgp)), lambda _, p=password: p)
        result = deploy(router, intended)
        assert (result.error, result.is_live) == (None, True)
        assert f"password {password}" in router.routing.running
        assert_all_is_well(router, intended)


def test_a_slow_frr_is_waited_for_as_long_as_it_gets_on(
    router: SimulatedRouter, intended: Intended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPNsense answers before FRR has come to its end."""
    looks: list[str] = []
    show = router.routing.show

    def partly(command: str) -> str:
        looks.append(command)
        return "".join(show(command).splitlines(keepends=True)[: 8 * len(looks)])

    monkeypatch.setattr(router.routing, "show", partly)
    result = deploy(router, intended)
    assert (result.is_live, result.error) == (True, None)
    assert len(looks) > opnsense.CONFIRM_ATTEMPTS + 3


def test_a_router_changed_since_the_plan_is_not_touched(
    router: SimulatedRouter, intended: Intended
) -> None:
    with router.transport() as transport:
        drawn = plan(intended, transport.observe())
        neighbor = {"address": "10.4.0.15", "remoteas": "65000"}
        router.ask("POST", "quagga/bgp/addNeighbor", {"neighbor": neighbor})
        before = json.dumps(router.config)
        with pytest.raises(ChangedMeanwhileError, match="nothing was done"):
            transport.apply(drawn, intended)
    assert json.dumps(router.config) == before


def test_an_alias_that_came_since_the_plan_is_not_deleted_with_its_name(
    router: SimulatedRouter, intended: Intended, network: Network
) -> None:
    deploy(router, intended)
    names = [name for name in network.nodes if name != "fenn"]
    fewer = intended_state(network.only(names))
    fenn = own_uuid(intended.mark, HOST_OVERRIDE, "fenn.nodes.goldentooth.net A")
    with router.transport() as transport:
        drawn = plan(fewer, transport.observe())
        alias = {"alias": {"host": fenn, "hostname": "www"}}
        router.ask("POST", "unbound/settings/addHostAlias", alias)
        before = json.dumps(router.config)
        with pytest.raises(ChangedMeanwhileError, match="nothing was done"):
            transport.apply(drawn, fewer)
    assert json.dumps(router.config) == before


def test_an_edit_in_the_web_interface_meanwhile_is_not_made_live_unseen(
    router: SimulatedRouter, intended: Intended
) -> None:
    uuid = own_uuid(intended.mark, NEIGHBOR, "10.4.0.11")
    edit = {"path": f"quagga/bgp/setNeighbor/{uuid}", "values": {"neighbor": {"weight": "9"}}}
    router.break_(edit_at=20, edit=edit)
    result = deploy(router, intended)
    assert isinstance(result.error, ChangedMeanwhileError)
    assert "neighbor 10.4.0.11: weight" in str(result.error)
    assert router.routing.applied == 0
    router.heal()
    assert deploy(router, intended).error is None
    assert_all_is_well(router, intended)


def test_a_refusal_names_the_field_and_the_fact_behind_it(
    router: SimulatedRouter, intended: Intended, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = router.simulator.api.store.models.table["bgp"]["lists"]["neighbors.neighbor"]
    monkeypatch.setitem(fields["keepalive"], "maximum", 30)  # as another version might have it
    result = deploy(router, intended)
    assert isinstance(result.error, RefusedError)
    said = str(result.error)
    assert said.startswith("neighbor 10.4.0.11: keepalive: Must be from 1 to 30.")
    assert "follows from bgp.keepalive (" in said
    assert "defaults.yaml:28:16)" in said


def test_what_others_came_to_use_is_refused_with_the_routers_own_words(
    router: SimulatedRouter, intended: Intended, network: Network
) -> None:
    deploy(router, intended)
    neighbor = {"address": "203.0.113.9", "remoteas": "9"}
    uuid = router.ask("POST", "quagga/bgp/addNeighbor", {"neighbor": neighbor})[1]["uuid"]
    (route_map,) = (i for i in intended.items.values() if i.name == "CLUSTER-OUT:10")
    other = intended_state(network)
    fewer = type(other)(
        settings=other.settings,
        items={k: v for k, v in other.items.items() if v.kind.title == "host override"},
        mark=other.mark,
    )
    edit = {
        "path": f"quagga/bgp/setNeighbor/{uuid}",
        "values": {"neighbor": {"linkedRoutemapOut": route_map.uuid}},
    }
    router.break_(edit_at=1, edit=edit)
    result = deploy(router, fewer)
    assert isinstance(result.error, RefusedError)
    assert "in use by" in str(result.error)


def test_reads_are_repeated_and_writes_are_not(
    router: SimulatedRouter, intended: Intended, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    answer = router.simulator.answer

    def flaky(request: Any) -> Any:
        seen.append(f"{request.method} {request.path}")
        if len(seen) % 2 == 0 and request.method == "GET":
            return 503, {}
        return answer(request)

    monkeypatch.setattr(router.simulator, "answer", flaky)
    with router.transport() as transport:
        assert transport.observe().items == {}
    assert len(seen) > len(set(seen))
    seen.clear()
    monkeypatch.setattr(router.simulator, "answer", answer)
    router.break_(fail_at=1)
    result = deploy(router, intended)
    assert isinstance(result.error, RefusedError)
    assert result.made == ()


@pytest.mark.parametrize("naming", ["camel", "snake"])
@pytest.mark.parametrize("first", [(503, {}), None], ids=["failed", "cut"])
def test_a_first_read_that_fails_is_repeated_and_says_nothing_of_the_names(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch, naming: str, first: Any
) -> None:
    router.break_(naming=naming)
    answer, asked = router.simulator.answer, []

    def late(request: Any) -> Any:
        asked.append(request.path)
        return first if len(asked) == 1 else answer(request)

    monkeypatch.setattr(router.simulator, "answer", late)
    with router.transport() as transport:
        assert transport.observe().items == {}
    assert asked[0] == asked[1]


def test_a_router_that_goes_on_failing_is_not_said_to_be_too_old(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = router.simulator.answer
    monkeypatch.setattr(router.simulator, "answer", lambda _: (503, {}))
    with router.transport() as transport:
        with pytest.raises(TransportError, match="is answered with status 503"):
            transport.observe()
        router.break_(naming="camel")
        monkeypatch.setattr(router.simulator, "answer", answer)
        assert transport.observe().items == {}


# -- secrets ---------------------------------------------------------------------------------


def every_failure(router: SimulatedRouter, intended: Intended) -> Iterator[Callable[[], Any]]:
    yield lambda: failure(router, secret=SECRET + "x")
    yield lambda: failure(router, host_name="gateway")
    for faults in ({"missing": True}, {"expired": True}, {"fail_at": 3}, {"cut_at": 3}):

        def broken(faults: dict[str, Any] = faults) -> Any:
            router.break_(**faults)
            try:
                return deploy(router, intended)
            finally:
                router.heal()

        yield broken
    yield lambda: deploy(router, intended)


def test_key_secret_and_password_are_in_no_output(
    router: SimulatedRouter, shipped_password: Intended, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    for act in every_failure(router, shipped_password):
        try:
            result = act()
        except GoldentoothError as error:
            shown += "".join(traceback.TracebackException.from_exception(error).format())
        else:
            shown += repr(result) + str(result)
            if isinstance(result, ApplyResult):
                shown += "\n".join(result.lines()) + json.dumps(result.backup.as_dict())
    shown += repr(router.transport()) + caplog.text
    assert "canary" not in shown
    assert "canary-password" in json.dumps(router.config)


@pytest.fixture
def shipped_password(site: Site, tmp_path: Path) -> Intended:
    site.add_fact("bgp", "password: ${env:BGP}")
    intended = intended_state(site.project().network)
    return with_secrets(intended, Secrets(tmp_path, {"BGP": "canary-password-9"}).fill)


def test_the_way_is_as_the_facts_have_it(
    router: SimulatedRouter, site: Site, intended: Intended
) -> None:
    (site.folder / "ca.crt").write_bytes(router.authority.certificate.read_bytes())
    api = f"opnsense_api: {{url: '{router.url}', key: '${{env:KEY}}', ca: ca.crt}}"
    site.edit(
        "inventory/groups.yaml",
        "    load_balancer_route: none",
        f"    load_balancer_route: none\n    {api}",
    )
    secrets = Secrets(site.folder, {"KEY": KEY, "OPNSENSE_SECRET": SECRET})
    network = site.project().network
    with OpnsenseTransport.to_router(network, secrets, site.folder) as transport:
        assert transport.identity() == "router.nodes.goldentooth.net"
