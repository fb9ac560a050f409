"""`drift --scheduled` as cron runs it. No host is there: these tests are about the run itself.

In a network namespace of its own every host is out of reach at once; with an interface that
leads nowhere, every host is waited for.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.namespaces import Namespace, eventually, namespaces, needs_root
from tests.sites import ROOT, Site

pytestmark = needs_root

BARE = ("env", "-i")
COMMAND = (sys.executable, str(ROOT / "runbooks/drift.py"))


@pytest.fixture
def nowhere() -> Iterator[Namespace]:
    """Return a network in which no host is."""
    with namespaces(1) as (namespace,):
        yield namespace


@pytest.fixture
def silent(nowhere: Namespace) -> Namespace:
    """Return a network in which whoever is asked keeps silent."""
    nowhere.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    nowhere.run("ip", "link", "set", "eth1", "up")
    nowhere.run("ip", "address", "add", "10.4.0.99/20", "dev", "eth0")
    nowhere.run("ip", "link", "set", "eth0", "up")
    nowhere.run("ip", "neigh", "add", "10.4.0.1", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
    for number in (*range(10, 22), 30):
        address, mac = f"10.4.0.{number}", f"02:00:00:00:00:{number:02x}"
        nowhere.run("ip", "neigh", "add", address, "lladdr", mac, "dev", "eth0")
    return nowhere


def drift(
    namespace: Namespace, site: Site, *words: str, around: tuple[str, ...] = BARE
) -> subprocess.CompletedProcess[str]:
    done = namespace.run(*around, *COMMAND, "--config", str(site.config), *words, check=False)
    assert "Traceback" not in done.stderr
    assert "a mistake in this program" not in done.stderr
    return done


def settings(site: Site, text: str) -> None:
    config = site.config.read_text()
    site.config.write_text(f"{config}{text}")


def read_only(folder: Path) -> tuple[str, ...]:
    """Return what runs a command under a bare environment with ``folder`` read-only."""
    script = f'mount -t tmpfs -o ro tmpfs "{folder}" && exec env -i "$@"'
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")


def test_a_bare_environment_is_enough(nowhere: Namespace, site: Site) -> None:
    done = drift(nowhere, site, "--scheduled", "--output", str(site.folder / "drift.prom"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    metrics = (site.folder / "drift.prom").read_text()
    assert 'goldentooth_drift_host_state{host="fenn",state="unreachable"} 1' in metrics
    assert "last_success" not in metrics
    (kept,) = (site.folder / "history").glob("*.json")
    assert json.loads(kept.read_text())["counts"]["unreachable"] > 10


def test_without_an_output_the_table_is_for_crons_mail(nowhere: Namespace, site: Site) -> None:
    done = drift(nowhere, site, "--scheduled", "--quiet")
    assert done.returncode == 2
    assert re.search(r"^unreachable  .*\bfenn\b", done.stdout, re.MULTILINE)


def test_two_do_not_run_at_once(silent: Namespace, site: Site) -> None:
    command = (*BARE, *COMMAND, "--config", str(site.config), "--scheduled")
    first = silent.start(*command)
    lock = site.folder / "history/lock"
    eventually(lambda: lock.exists() and lock.read_text())
    started = time.monotonic()
    done = drift(silent, site, "--scheduled", "--output", str(site.folder / "second.json"))
    assert time.monotonic() - started < 5
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("another drift run is under way (since ")
    assert "--wait" in done.stderr
    assert not (site.folder / "second.json").exists()
    assert first.poll() is None
    waited = drift(silent, site, "--scheduled", "--wait", "--timeout", "1")
    assert waited.returncode == 2
    assert waited.stderr.startswith(("another drift run", "drift: not done within 1 s"))


def test_a_run_that_was_killed_leaves_the_earlier_files_and_no_lock(
    silent: Namespace, site: Site
) -> None:
    page = site.folder / "drift.html"
    page.write_text("the earlier page")
    first = silent.start(
        *(*BARE, *COMMAND, "--config", str(site.config), "--scheduled", "--output", str(page))
    )
    lock = site.folder / "history/lock"
    eventually(lambda: lock.exists() and lock.read_text())
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    assert page.read_text() == "the earlier page"
    assert not list(site.folder.glob("history/*.json"))
    done = drift(silent, site, "--scheduled", "--timeout", "2")
    assert done.stderr == "drift: not done within 2 s; given up\n"


def test_no_run_takes_longer_than_it_may(silent: Namespace, site: Site) -> None:
    started = time.monotonic()
    done = drift(silent, site, "--timeout", "1.5", "--output", str(site.folder / "drift.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "drift: not done within 1.5 s; given up\n"
    assert time.monotonic() - started < 8
    assert not (site.folder / "drift.json").exists()


def test_a_folder_for_reports_that_is_read_only_is_named_and_the_result_is_printed(
    nowhere: Namespace, site: Site
) -> None:
    folder = site.folder / "reports"
    folder.mkdir()
    output = f"{folder}/drift.html"
    done = drift(nowhere, site, "--scheduled", "--output", output, around=read_only(folder))
    assert done.returncode == 2
    assert re.search(r"^unreachable  .*\bfenn\b", done.stdout, re.MULTILINE)
    assert done.stderr == f"{output} cannot be written: read-only file system\n"
    assert len(list((site.folder / "history").glob("*.json"))) == 1


def test_a_history_that_is_read_only_is_named_and_the_result_is_printed(
    nowhere: Namespace, site: Site
) -> None:
    folder = site.folder / "history"
    folder.mkdir()
    done = drift(nowhere, site, "--scheduled", around=read_only(folder))
    assert done.returncode == 2
    assert re.search(r"^unreachable  .*\bfenn\b", done.stdout, re.MULTILINE)
    assert "history: the history cannot be kept: read-only file system\n" in done.stderr
    assert done.stderr.count("cannot be kept") == 1


def test_hooks_are_told_of_a_change_once(nowhere: Namespace, site: Site) -> None:
    settings(site, "  notify:\n    command: [sh, -c, cat > told-$$.json]\n")
    for _ in range(2):
        drift(nowhere, site, "--scheduled")
    (told,) = site.folder.glob("told-*.json")
    document = json.loads(told.read_text())
    assert document["format"] == "goldentooth-net/drift-change/1"
    change = next(change for change in document["changes"] if change["host"] == "fenn")
    assert change["was"] is None
    assert change["now"][0]["state"] == "unreachable"
    assert document["report"]["status"] == 2


def test_a_hook_that_fails_is_a_line_and_changes_nothing_else(
    nowhere: Namespace, site: Site
) -> None:
    settings(site, "  notify:\n    command: [sh, -c, echo no mail >&2; exit 1]\n")
    output = str(site.folder / "drift.json")
    done = drift(nowhere, site, "--scheduled", "--output", output)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "notify: command sh: exit status 1: no mail\n"


def test_hooks_that_are_written_wrongly_are_told_before_any_host_is_asked(
    silent: Namespace, site: Site
) -> None:
    settings(site, "  notify:\n    comand: [mail]\n")
    done = drift(silent, site, "--scheduled", "--timeout", "5")
    assert done.returncode == 2
    assert "user_defined: notify: unknown key 'comand': did you mean command?" in done.stderr


def test_a_run_is_a_line_in_syslog(nowhere: Namespace, site: Site) -> None:
    path = site.folder / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(10)
        script = f"""set -e
mkdir "{site.folder}/dev"; mount --rbind /dev "{site.folder}/dev"; mount -t tmpfs tmpfs /dev
for each in null zero random urandom; do
    touch /dev/$each; mount --bind "{site.folder}/dev/$each" /dev/$each
done
touch /dev/log; mount --bind "{path}" /dev/log
exec env -i "$@" """
        around = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
        drift(nowhere, site, "--scheduled", around=around)
        line = receiver.recv(65536).decode()
        site.config.write_text("inventory: {plugin: GoldentoothInventory}\nuser_defined: 3\n")
        (site.folder / "dev").rmdir()
        drift(nowhere, site, "--scheduled", around=around)
        failure = receiver.recv(65536).decode()
    daemon_error = (3 << 3) | 3
    assert line.startswith(f"<{daemon_error}>")
    assert " goldentooth-net[" in line
    assert "]: drift: 1" in line
    assert " unreachable" in line
    assert "(allyrion, " in line
    assert "user_defined 3 is not a mapping" in failure


def test_the_history_shows_what_scheduled_runs_saw(nowhere: Namespace, site: Site) -> None:
    drift(nowhere, site, "--scheduled")
    done = drift(nowhere, site, "--history")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  fenn       unreachable\n" in done.stdout
    assert "\n1 run, " in done.stdout
    document = json.loads(drift(nowhere, site, "--history", "--format", "json").stdout)
    assert document["format"] == "goldentooth-net/drift-history/1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scheduled", "--history"), "name one"),
        (("--wait",), "--wait is for --scheduled"),
        (("--scheduled", "--host", "fenn"), "leave --host, --group and --service away"),
        (("--history", "--format", "html"), "this cannot be had as html: table and json can"),
        (("--timeout", "0"), "'0' is not a number of seconds"),
        (("--timeout", "1e9"), "'1e9' is not a number of seconds"),
    ],
)
def test_what_makes_no_sense_together_is_refused(
    site: Site, words: tuple[str, ...], message: str
) -> None:
    done = site.run("drift", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_site_with_settings_that_are_wrong_says_so(site: Site) -> None:
    settings(site, "  history_kept: 0\n")
    done = site.run("drift", "--history")
    assert done.returncode == 2
    assert "user_defined: history_kept 0 is not a number from 1 up" in done.stderr
