"""What scripts rely on: exit statuses, what goes to stdout, the JSON, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runbooks.cli import VERBS
from tests.sites import ROOT, Site, contents

SCHEMAS = ROOT / "docs/schemas"
ENTRY = Path(sys.executable).with_name("goldentooth-net")
HEAVY = (
    "netmiko",
    "napalm",
    "paramiko",
    "asyncssh",
    "rich",
    "pydantic",
    "dask",
)


def clean(done: subprocess.CompletedProcess[str]) -> str:
    """Return stderr, which must be for a person."""
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "a mistake in this program" not in done.stderr
    return done.stderr


def place_of(value: str, site: Site) -> str:
    """Return where ``value`` stands in hosts.yaml, as an editor counts."""
    for number, line in enumerate((site.folder / "inventory/hosts.yaml").read_text().splitlines()):
        if value in line:
            return f"inventory/hosts.yaml:{number + 1}:{line.index(value) + 1}"
    raise AssertionError(value)


# -- exit statuses, stdout and stderr ----------------------------------------------------


def test_a_render_is_0_and_its_table_is_data(site: Site) -> None:
    done = site.run("render")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("host ")
    assert done.stdout.endswith("0 failed -> build/\n")
    assert "\x1b" not in done.stdout


def test_check_is_1_with_a_unified_diff_and_0_without_differences(site: Site) -> None:
    site.run("render")
    assert site.run("render", "--check").returncode == 0
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    before = contents(site.build)
    done = site.run("render", "--check")
    assert done.returncode == 1
    assert done.stderr == ""
    path = "_twin/router/etc/frr/frr.conf"
    assert f"--- a/{path}\n+++ b/{path}\n@@" in done.stdout
    assert contents(site.build) == before


def test_a_failing_host_is_2_and_the_others_are_reported(site: Site) -> None:
    site.write("templates/haproxy/haproxy.cfg.j2", "{{ nobody }}\n")
    done = site.run("render")
    assert done.returncode == 2
    assert "allyrion: templates/haproxy/haproxy.cfg.j2:1: 'nobody' is undefined" in done.stdout
    assert done.stdout.count("\n") > 14
    clean(done)


def test_bad_facts_are_2_with_file_line_and_remedy(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "hostname: 10.4.0.15", "hostname: 10.4.0.300")
    for verb in (("render",), ("show", "hosts"), ("lint",)):
        done = site.run(*verb)
        assert (done.returncode, done.stdout) == (2, "")
        message = f"{place_of('10.4.0.300', site)}: fenn: hostname '10.4.0.300' is not an IPv4"
        assert clean(done).startswith(f"{message} address\n    ")


def test_lint_is_1_for_findings(site: Site) -> None:
    done = site.run("lint")
    assert done.returncode == 1  # the shipped network's real weaknesses
    assert "inventory/defaults.yaml:" in done.stdout
    assert done.stderr == ""


def test_lint_of_a_host_is_about_that_host_alone(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "architecture: amd64", "interface: auto")
    done = site.run("lint", "--host", "velaryon")
    assert done.returncode == 1
    assert done.stdout.endswith("\n1 warning\n")
    assert "ROUTE006" in done.stdout
    done = site.run("lint", "--group", "control_plane")
    assert (done.returncode, done.stdout) == (0, "no findings\n")


def test_one_host_is_not_hosts(site: Site) -> None:
    done = site.run("render", "--host", "allyrion", "--service", "haproxy")
    assert "\n1 host, 1 artifact, 1 changed, 0 failed -> build/\n" in done.stdout


def test_show_is_0(site: Site) -> None:
    for view in (("hosts",), ("host", "fenn"), ("bgp",), ("artifacts",)):
        done = site.run("show", *view)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("\n")


def test_schema_is_0_if_written_and_1_if_out_of_date(site: Site) -> None:
    assert site.run("schema", "--check").returncode == 1
    assert site.run("schema").returncode == 0
    assert site.run("schema", "--check").returncode == 0
    written = contents(site.folder / "inventory/schema")
    assert written == contents(ROOT / "inventory/schema")


BAD_CALLS: dict[str, tuple[tuple[str, ...], str]] = {
    "no verb": ((), "verbs:"),
    "unknown verb": (("rendr",), "no verb 'rendr': did you mean render?"),
    "unknown verb, nothing near": (("xyzzy",), "no verb 'xyzzy': verbs: lint, render"),
    "unknown option": (("render", "--frobnicate"), "unrecognized arguments: --frobnicate"),
    "abbreviated option": (("render", "--val"), "unrecognized arguments"),
    "option before the verb": (("--check", "render"), "unrecognized arguments"),
    "no workers": (("render", "--workers", "0"), "'0' is not a number from 1 to 1000"),
    "odd workers": (("render", "--workers", "²"), "is not a number from 1 to 1000"),
    "unknown format": (("render", "--format", "xml"), "invalid choice: 'xml'"),
    "unknown host": (("render", "--host", "fen"), "did you mean fenn?"),
    "unknown host, nothing near": (("render", "--host", "xyzzy"), "known here: allyrion"),
    "unknown group": (("render", "--group", "control-plane"), "did you mean control_plane?"),
    "unknown service": (("render", "--service", "bgp"), "service 'bgp' is not known"),
    "empty config": (("show", "hosts", "--config", ""), "argument --config: '' is not a path"),
    "empty build": (("render", "--build", ""), "argument --build: '' is not a path"),
    "empty output": (("show", "hosts", "--output", " "), "argument --output: ' ' is not a path"),
    "unknown host to lint": (("lint", "--host", "fen"), "did you mean fenn?"),
    "unknown group to lint": (("lint", "--group", "wroker"), "did you mean worker?"),
    "empty host": (("render", "--host", ""), "host '' is not known"),
    "host and service apart": (("render", "--host", "fenn", "--service", "haproxy"), "nothing is"),
    "no config": (("render", "--config", "nowhere.yaml"), "nowhere.yaml is not a file"),
    "config is a folder": (("render", "--config", "inventory"), "inventory is not a file"),
    "build is a file": (("render", "--build", "config.yaml"), "config.yaml is not a folder"),
    "build is the project": (("render", "--build", "."), "was not made by render"),
    "build below a file": (("render", "--build", "config.yaml/x/y"), "config.yaml/x"),
    "output in no folder": (("show", "hosts", "--output", "no/where"), "no/where cannot be writ"),
    "output is a folder": (("show", "hosts", "--output", "inventory"), "inventory cannot be wri"),
    "output is full": (("show", "hosts", "--output", "/dev/full"), "no space left"),
    "no view": (("show",), "the following arguments are required: VIEW"),
    "unknown view": (("show", "hots"), "invalid choice: 'hots'"),
    "no host": (("show", "host"), "takes one host's name"),
    "unknown host to show": (("show", "host", "fen"), "did you mean fenn?"),
    "host to another view": (("show", "bgp", "fenn"), "takes one host's name"),
    "unknown rule": (("lint", "--rule", "XYZ999"), "XYZ999"),
    "unknown rule to explain": (("lint", "--explain", "BGP999"), "BGP999"),
    "unknown schema": (("schema", "--print", "nodes"), "invalid choice: 'nodes'"),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_a_bad_call_is_2_with_one_message_and_no_traceback(site: Site, call: str) -> None:
    arguments, message = BAD_CALLS[call]
    before = contents(site.folder)
    done = site.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in clean(done)
    assert {**contents(site.folder), ".build.lock": b""} == {**before, ".build.lock": b""}


BROKEN_CONFIGS: dict[str, tuple[str, str]] = {
    "syntax": ("runner: [\n", "config.yaml is not a Nornir configuration"),
    "empty": (
        "",
        "config.yaml holds no settings\n    write `inventory: {plugin: GoldentoothInventory}`",
    ),
    "comments": ("# nothing\n", "config.yaml holds no settings"),
    "a list": ("- a\n", "config.yaml is not a Nornir configuration"),
    **{
        f"{section} {what}": (
            f"inventory: {{plugin: GoldentoothInventory}}\n{section}: {value}\n",
            f"config.yaml:2:{len(section) + 2 + bool(value)}: {section} {what} is not a mapping\n",
        )
        for section in ("core", "logging", "runner", "ssh", "user_defined")
        for what, value in (("(empty)", ""), ("5", "5"), ("(a list)", "[]"))
    },
    "no inventory": ("inventory:\n", "config.yaml:1:11: inventory (empty) is not a mapping"),
    "no inventory plugin": (
        "runner: {plugin: threaded}\n",
        "\n    write `inventory: {plugin: GoldentoothInventory}`",
    ),
    **{
        f"{setting} {what}": (
            f"inventory: {{plugin: GoldentoothInventory}}\nuser_defined: {{{setting}: {value}}}\n",
            f"config.yaml: user_defined: {setting} {what} is not a path\n    write one as text",
        )
        for setting in ("templates", "build")
        for what, value in (("(empty)", ""), ("3", "3"), ("(a list)", "[]"), ("''", "''"))
    },
    "binary": ("\x00\x01", "config.yaml is not a Nornir configuration"),
    "unknown inventory plugin": (
        "inventory: {plugin: GoldentothInventory}\n",
        "config.yaml: inventory plugin 'GoldentothInventory' is not known: did you mean Goldent",
    ),
    "another inventory plugin": (
        "inventory: {plugin: SimpleInventory, options: {host_file: inventory/hosts.yaml}}\n",
        "config.yaml: inventory plugin SimpleInventory: ",
    ),
    "unknown inventory option": (
        "inventory: {plugin: GoldentoothInventory, options: {hosts_file: x}}\n",
        "config.yaml: inventory: options: unknown key 'hosts_file': did you mean host_file?",
    ),
    "inventory option of the wrong kind": (
        "inventory: {plugin: GoldentoothInventory, options: {host_file: 5}}\n",
        "config.yaml: inventory: options: host_file 5 is not a path\n    write one as text",
    ),
    "inventory option that is empty": (
        "inventory: {plugin: GoldentoothInventory, options: {host_file: }}\n",
        "config.yaml: inventory: options: host_file (empty) is not a path\n    write one as text",
    ),
    "inventory file that is not there": (
        "inventory: {plugin: GoldentoothInventory, options: {host_file: facts/hosts.yaml}}\n",
        "facts/hosts.yaml:1:1: cannot be read: no such file",
    ),
    "unknown runner": (
        "inventory: {plugin: GoldentoothInventory}\nrunner: {plugin: thraded}\n",
        "config.yaml: runner plugin 'thraded' is not known: did you mean threaded?",
    ),
    "unknown runner option": (
        "inventory: {plugin: GoldentoothInventory}\nrunner: {plugin: serial, options: {x: 1}}\n",
        "config.yaml: runner: options: unknown key 'x': known here: nothing",
    ),
    "workers that are no number": (
        "inventory: {plugin: GoldentoothInventory}\nrunner: {options: {num_workers: many}}\n",
        "config.yaml: runner: num_workers 'many' is not a number from 1 up",
    ),
    "no workers": (
        "inventory: {plugin: GoldentoothInventory}\nrunner: {options: {num_workers: 0}}\n",
        "config.yaml: runner: num_workers 0 is not a number from 1 up",
    ),
    "templates that are not there": (
        "inventory: {plugin: GoldentoothInventory}\nuser_defined: {templates: nowhere}\n",
        "",  # every host says which template it misses, on stdout
    ),
}


@pytest.mark.parametrize("case", BROKEN_CONFIGS)
def test_a_broken_config_is_2_and_says_what_is_wrong(site: Site, case: str) -> None:
    text, message = BROKEN_CONFIGS[case]
    site.write("config.yaml", text)
    done = site.run("render")
    assert done.returncode == 2
    assert message in clean(done)
    for internal in ("NoneType", "__init__", "<class", "os.PathLike", "Error("):
        assert internal not in done.stderr
    if not message:
        assert done.stdout.count(".j2:1: there is no template") == 14
    assert not site.build.exists()


def test_a_project_is_found_from_the_folders_below_it(site: Site) -> None:
    done = site.run("show", "hosts", cwd=site.folder / "templates/frr")
    assert done.returncode == 0


def test_outside_of_a_project_it_says_so(tmp_path: Path, site: Site) -> None:
    done = site.run("render", cwd=tmp_path)
    assert done.returncode == 2
    assert "no config.yaml here or above" in clean(done)


def test_paths_in_messages_can_be_opened_from_where_one_is(site: Site, tmp_path: Path) -> None:
    there = ("--config", str(site.config))
    done = site.run("render", *there, cwd=tmp_path)
    assert done.stdout.endswith(f"0 failed -> {site.build.relative_to(tmp_path)}/\n")
    assert not (tmp_path / "build").exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = site.run("render", *there, "--build", "mine", cwd=elsewhere)
    assert done.stdout.endswith("0 failed -> mine/\n")
    assert (elsewhere / "mine/manifest.json").exists()
    site.write("templates/haproxy/haproxy.cfg.j2", "{{ nobody }}\n")
    done = site.run("render", *there, cwd=elsewhere)
    assert f"{site.folder}/templates/haproxy/haproxy.cfg.j2:1: " in done.stdout
    site.edit("inventory/hosts.yaml", "hostname: 10.4.0.15", "hostname: 10.4.0.300")
    done = site.run("render", *there, cwd=elsewhere)
    assert clean(done).startswith(f"{site.folder}/{place_of('10.4.0.300', site)}: ")


def test_a_working_directory_that_is_gone_is_2(site: Site, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && "{sys.executable}" "$@"'
    runbook = str(ROOT / "runbooks/render.py")
    done = subprocess.run(
        ["sh", "-c", script, "sh", runbook], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    clean(done)


# -- where output goes -------------------------------------------------------------------


def test_a_reader_that_leaves_early_gets_no_traceback(site: Site) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = site.run("show", "artifacts", "--format", "json", stdout=writer)
    os.close(writer)
    assert done.returncode == 2
    assert done.stderr == ""


@pytest.mark.parametrize("arguments", [("show", "hosts"), ("render", "--format", "json")])
def test_a_full_disk_behind_stdout_is_2(site: Site, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = site.run(*arguments, stdout=full)
    assert done.returncode == 2
    assert clean(done) == "goldentooth-net: output: no space left on device\n"


def test_a_closed_stdout_is_2(site: Site) -> None:
    script = f'"{sys.executable}" -m runbooks show hosts >&-'
    done = subprocess.run(
        ["sh", "-c", script], cwd=site.folder, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 2
    assert "stdout is closed" in clean(done)


def test_output_is_whole_or_as_it_was(site: Site) -> None:
    target = site.folder / "hosts.json"
    target.write_text("earlier")
    inode = target.stat().st_ino
    done = site.run("show", "hosts", "--format", "json", "--output", "hosts.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(target.read_text())["view"] == "hosts"
    assert target.stat().st_ino != inode  # swapped in, not written over
    before = contents(site.folder)
    assert site.run("show", "host", "nobody", "--output", "hosts.json").returncode == 2
    assert contents(site.folder) == before


def test_output_follows_a_link_and_leaves_devices_alone(site: Site) -> None:
    (site.folder / "link").symlink_to("target")
    site.run("show", "hosts", "--output", "link")
    assert (site.folder / "link").is_symlink()
    assert "fenn" in (site.folder / "target").read_text()
    device = Path("/dev/null").stat()
    assert site.run("show", "hosts", "--output", "/dev/null").returncode == 0
    assert Path("/dev/null").stat().st_rdev == device.st_rdev
    assert "fenn" in site.run("show", "hosts", "--output", "/dev/stdout").stdout


def test_a_locale_without_the_characters_gets_others(site: Site) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for arguments in (("render", "--help"), ("lint",), ("render", "--host", "größe")):
        done = site.run(*arguments, env=env)
        clean(done)
        assert done.returncode in (0, 1, 2)


# -- JSON --------------------------------------------------------------------------------


def validate(text: str, name: str) -> Any:
    value = json.loads(text)
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def test_the_json_of_render_keeps_to_its_schema(site: Site) -> None:
    first = validate(site.run("render", "--format", "json", "--validate").stdout, "render")
    assert first["changed"]
    assert not first["failed"]
    validate((site.build / "manifest.json").read_text(), "manifest")
    site.write("templates/haproxy/haproxy.cfg.j2", "{{ nobody }}\n")
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    done = site.run("render", "--format", "json", "--check")
    assert done.returncode == 2
    assert done.stderr == ""
    second = validate(done.stdout, "render")
    assert [host["host"] for host in second["hosts"] if host["failed"]] == ["allyrion"]


def test_the_json_of_a_rejection_keeps_to_its_schema(site: Site, tmp_path: Path) -> None:
    judge = tmp_path / "haproxy"
    judge.write_text("#!/bin/sh\necho no; exit 1\n")
    judge.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = site.run("render", "--format", "json", "--validate", "--service", "haproxy", env=env)
    assert done.returncode == 2
    value = validate(done.stdout, "render")
    assert value["judges"] == {"haproxy": {"rejected": 1}}


VIEWS = (("hosts",), ("host", "velaryon"), ("addresses",), ("bgp",), ("routes",), ("haproxy",))


@pytest.mark.parametrize("view", [*VIEWS, ("artifacts",)], ids=lambda view: view[0])
def test_the_json_of_show_keeps_to_its_schema(site: Site, view: tuple[str, ...]) -> None:
    value = validate(site.run("show", *view, "--format", "json").stdout, "show")
    assert value["view"] == view[0]


def test_the_json_of_show_keeps_to_its_schema_where_something_is_unknown(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "architecture: amd64", "interface: auto")
    for view in (("routes",), ("artifacts",), ("host", "velaryon")):
        done = site.run("show", *view, "--format", "json")
        value = validate(done.stdout, "show")
        assert [line["host"] for line in value["unknown"]] == ["velaryon"]


def test_the_json_of_lint_keeps_to_its_schema(site: Site) -> None:
    value = validate(site.run("lint", "--format", "json").stdout, "lint")
    assert value["findings"]


def test_a_schema_refuses_what_is_not_in_it(site: Site) -> None:
    value = json.loads(site.run("show", "hosts", "--format", "json").stdout)
    with pytest.raises(jsonschema.ValidationError):
        validate(json.dumps({**value, "more": 1}), "show")


# -- help and start ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_examples_and_works_anywhere(
    site: Site, tmp_path: Path, verb: str
) -> None:
    done = site.run(verb, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"examples:\n  goldentooth-net {verb}" in done.stdout
    assert "--config" in done.stdout


def test_the_help_names_every_verb(site: Site, tmp_path: Path) -> None:
    done = site.run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(f"\n  {verb}" in done.stdout for verb in VERBS)
    assert site.run("--version", cwd=tmp_path).stdout.startswith("goldentooth-net ")


@pytest.mark.parametrize(
    "arguments", [("show", "hosts"), ("render", "--check"), ("render", "--help"), ("lint",)]
)
def test_three_ways_to_start_are_one(site: Site, arguments: tuple[str, ...]) -> None:
    verb, *rest = arguments
    ways = (
        [sys.executable, "-m", "runbooks", verb, *rest],
        [sys.executable, str(ROOT / f"runbooks/{verb}.py"), *rest],
        [str(ENTRY), verb, *rest],
    )
    outcomes = [
        subprocess.run(way, cwd=site.folder, capture_output=True, check=False) for way in ways
    ]
    assert len({(done.returncode, done.stdout, done.stderr) for done in outcomes}) == 1
    assert outcomes[0].stdout


@pytest.mark.parametrize(
    "arguments",
    [("--help",), *((verb, "--help") for verb in VERBS), ("render",), ("render", "--check")],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(site: Site, arguments: tuple[str, ...]) -> None:
    program = (
        "import sys\n"
        "from runbooks.cli import main\n"
        f"main({list(arguments)!r})\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=site.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_debug_shows_the_traceback_and_keeps_the_status(site: Site) -> None:
    done = site.run("render", "--debug", "--host", "fen")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "did you mean fenn?" in done.stderr


def test_an_interrupt_while_starting_is_130(site: Site) -> None:
    program = (
        "import runbooks.cli as cli\n"
        "def interrupted(arguments): raise KeyboardInterrupt\n"
        "cli._run = interrupted\n"
        "raise SystemExit(cli.main(['render']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "interrupted\n")
