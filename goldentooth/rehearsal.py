"""A rehearsal: the deployment on a twin in today's applied state, under faults, and what is lost.

The twin gets what the hosts remember as applied, with references in place of secrets; the plan
is made and deployed there by the same code, from the operator's machine of the twin.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

from goldentooth.applied import BaselineError, read_baseline
from goldentooth.artifact import Artifact, Scope, manifest_text
from goldentooth.bounded import load_json
from goldentooth.compare.secrets import mask
from goldentooth.deployment import Options
from goldentooth.errors import DeploymentError

if TYPE_CHECKING:
    from goldentooth.model import Network
    from goldentooth.project import Project
    from goldentooth.survey import HostSurvey
    from goldentooth.twin import Twin

NAME = "rehearsal"
"""What a rehearsal's twin is called, before the number of its process."""
ON_TWIN = "GOLDENTOOTH_REHEARSAL"
"""Set for the process that deploys on the twin: there references stay in place of secrets."""

_HEAL_SECONDS = 90.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Loss:
    """What one kind of traffic has lost: ``sent`` and ``lost`` packets or requests."""

    traffic: str
    sent: int
    lost: int

    def __str__(self) -> str:
        return f"{self.traffic}: {self.lost} of {self.sent} lost"


@dataclass(frozen=True)
class Trial:
    """One thing that was tried on the twin, whether it went well, and what was seen."""

    name: str
    has_passed: bool
    seen: str = ""


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal has shown."""

    trials: tuple[Trial, ...]
    losses: tuple[Loss, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    """What a person should know of it: what it could not show."""

    @property
    def has_passed(self) -> bool:
        """Whether everything that was tried went well."""
        return all(trial.has_passed for trial in self.trials)

    @property
    def status(self) -> int:
        """Exit status: 0 if it passed, else 2."""
        return 0 if self.has_passed else 2

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": "goldentooth-net/rehearsal/1",
            "passed": self.has_passed,
            "seconds": round(self.seconds, 1),
            "trials": [
                {"name": trial.name, "passed": trial.has_passed, "seen": trial.seen}
                for trial in self.trials
            ],
            "notes": list(self.notes),
            "losses": [
                {"traffic": each.traffic, "sent": each.sent, "lost": each.lost}
                for each in self.losses
            ],
        }

    def table(self, *, colour: bool = False) -> str:
        """Return a line a trial, the losses, and the verdict."""
        from goldentooth.report.table import format_table
        from goldentooth.text import paint

        rows = [(t.name, "passed" if t.has_passed else "failed", t.seen) for t in self.trials]
        verdict = "passed" if self.has_passed else "failed"
        told = f"rehearsal {verdict} in {self.seconds:.0f} s"
        lines = [format_table(("trial", "verdict", "seen"), rows), ""]
        lines += [f"during the deployment, {loss}" for loss in self.losses]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join((*lines, paint(told, "green" if self.has_passed else "red", on=colour)))


def rehearse(
    project: Project,
    surveys: Mapping[str, HostSurvey],
    chosen: Mapping[str, Sequence[str]],
    options: Options,
    *,
    overwrite: bool,
    say: Say,
) -> Rehearsal:
    """Bring up the twin as the hosts are, deploy there, try the faults, and take it down.

    Raises:
        DeploymentError: if there is nothing to rehearse on.
        TwinError: if the twin cannot be brought up.
    """
    from goldentooth.twin import NotVerifiedError, Twin, remove_twin

    clock, made_from = monotonic(), project.digest()
    trials: list[Trial] = []
    name = f"{NAME}{os.getpid()}"
    for left in _left_behind():
        remove_twin(left)
    try:
        with TemporaryDirectory(prefix="goldentooth-rehearsal-") as folder:
            _write_applied(project, surveys, Path(folder))
            try:
                twin = Twin.up(project.network, Path(folder), name=name, progress=say)
            except NotVerifiedError as error:
                say(f"today's state is not good: {error}")
                twin = Twin.attach(name)
        with _traffic(twin, project.network) as losses:
            trials.append(_deploy(twin, project, chosen, options, overwrite=overwrite))
            say(f"deployed: {trials[-1].seen}")
        trials.append(_verify(twin, project))
        if trials[-1].has_passed:
            trials += _try_faults(twin, project, say)
    finally:
        remove_twin(name)
    if project.digest() != made_from:
        told = "it cannot be said which were tried: again"
        trials.append(Trial("facts and templates stay as they are", has_passed=False, seen=told))
    return Rehearsal(tuple(trials), tuple(losses), monotonic() - clock, tuple(_notes(surveys)))


def _left_behind() -> Iterator[str]:
    """Yield the twins of rehearsals whose process was killed."""
    from goldentooth.twin import list_twins

    for name in list_twins():
        number = name.removeprefix(NAME)
        if number != name and number.isdigit() and not Path(f"/proc/{number}").exists():
            yield name


def _notes(surveys: Mapping[str, HostSurvey]) -> Iterator[str]:
    for host, survey in surveys.items():
        if survey.router is not None and not survey.router.drawn.is_empty:
            yield (
                f"the twin's {host} has what is intended from the start: the network was tried"
                " with its change, the change itself was not"
            )


def _write_applied(project: Project, surveys: Mapping[str, HostSurvey], folder: Path) -> None:
    """Write what hosts have as applied, and the stand-ins of the twin, as a build folder."""
    artifacts: list[Artifact] = []
    for host, survey in surveys.items():
        if survey.router is not None:
            continue  # the simulator begins with what is intended: see Rehearsal.notes
        if survey.collected is None:
            raise DeploymentError(
                f"{host} cannot be read ({survey.drift.reason}): no twin can be made of it"
            )
        artifacts += _applied(host, survey)
    artifacts += project.stand_in_artifacts()
    for artifact in artifacts:
        path = folder / artifact.location
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(artifact.text, encoding="utf-8", errors="surrogateescape")
    entries = [artifact.entry() for artifact in artifacts]
    (folder / "manifest.json").write_text(manifest_text(entries), encoding="utf-8")


def _applied(host: str, survey: HostSurvey) -> Iterator[Artifact]:
    """Yield what was last applied to ``host``, with references in place of secrets."""
    try:
        baseline = read_baseline(host, survey.collected.record) if survey.collected else None
    except BaselineError as error:
        raise DeploymentError(f"{host}: {error}") from error
    intended = {artifact.path: artifact for artifact in survey.artifacts}
    for path, line in baseline.files.items() if baseline else ():
        reference = intended[path].text if path in intended else ""
        text = baseline.copies[path].decode(errors="surrogateescape") if baseline else ""
        yield Artifact(
            host,
            line.service,
            path,
            mask(reference, text),
            line.owner,
            int(line.mode, 8),
            Scope.HOST,
            format=line.format,
        )


def _deploy(
    twin: Twin,
    project: Project,
    chosen: Mapping[str, Sequence[str]],
    options: Options,
    *,
    overwrite: bool,
) -> Trial:
    job = {
        "config": str(project.config_file),
        "chosen": {key: list(value) for key, value in chosen.items()},
        "overwrite": overwrite,
        "options": vars(options),
    }
    done = twin.run(
        ["env", f"{ON_TWIN}={twin.name}", sys.executable, "-m", "runbooks.rehearsal"],
        stdin=json.dumps(job).encode(),
        cwd=project.folder,
    )
    try:
        report = load_json(done.stdout)
        counts = Counter(host["outcome"] for host in report["hosts"])
    except (ValueError, LookupError, TypeError):
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        return Trial("the deployment", has_passed=False, seen=said[-1] if said else "no answer")
    seen = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return Trial("the deployment", report["status"] == 0, f"{seen} in {report['seconds']:.1f} s")


def _verify(twin: Twin, project: Project) -> Trial:
    """Wait until every live check passes on the twin."""
    deadline = monotonic() + _HEAL_SECONDS
    while True:
        config = ["--config", str(project.config_file)]
        done = twin.run([sys.executable, "-m", "runbooks", "verify", *config], cwd=project.folder)
        said = done.stdout.decode(errors="replace").strip().splitlines()
        if done.returncode == 0 or monotonic() > deadline:
            seen = said[-1] if said else done.stderr.decode(errors="replace").strip()
            return Trial("the live checks after it", done.returncode == 0, seen)


def _try_faults(twin: Twin, project: Project, say: Say) -> Iterator[Trial]:
    for kind, host, options, question in _faults(project.network):
        say(f"fault: {kind} on {host}")
        twin.break_(kind, host, **options)
        answered = any(twin.run(question, timeout=30).returncode == 0 for _ in range(10))
        twin.heal(kind, host, timeout=_HEAL_SECONDS)
        seen = "still answered, healed" if answered else "no answer"
        yield Trial(f"{kind} on {host}: {question[-1]}", answered, seen)


def _faults(network: Network) -> Iterator[tuple[str, str, dict[str, str], list[str]]]:
    """Yield the faults that the network must bear: kind, host, options, and what still answers."""
    planes = [node.name for node in network.control_planes]
    workers = [node.name for node in network.bgp_neighbors if node.name not in planes]
    ask = ["curl", "--silent", "--show-error", "--insecure", "--max-time", "5"]
    api = [*ask, f"https://{network.endpoint}/healthz"] if network.control_planes else None
    services = [str(address) for address in network.load_balancer.services.values()]
    if api and len(planes) > 1:
        yield "power", planes[0], {}, api
        yield "link", planes[-1], {}, api
    if workers and services:
        yield "kill", workers[0], {"process": "bgpd"}, [*ask, f"http://{services[0]}/"]


# -- traffic while it goes on -------------------------------------------------------------

_REQUESTS = """
sent=0 lost=0
while IFS= read -r -t 0.05 _ || [ $? -gt 128 ]; do
    sent=$((sent + 1))
    curl --silent --insecure --max-time 3 --output /dev/null "$1" || lost=$((lost + 1))
done
echo "$sent $lost"
"""

_PINGS = """
for address; do ping -n -q -i 0.1 -W 1 "$address" & done
read -r _
kill -INT $(jobs -p)
wait
"""


@contextmanager
def _traffic(twin: Twin, network: Network) -> Iterator[list[Loss]]:
    """Send pings to every host and requests to the API meanwhile; then say what was lost."""
    from goldentooth.twin.plan import OPERATOR

    def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = twin.machine(OPERATOR).command(["bash", "-c", script, "bash", *arguments])
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    losses: list[Loss] = []
    pings = start(_PINGS, *(str(node.address) for node in network.nodes.values()))
    requests = start(_REQUESTS, f"https://{network.endpoint}/healthz")
    try:
        yield losses
    finally:
        answered = requests.communicate(timeout=30)[0].split()
        summary = pings.communicate(timeout=30)[0].decode()
    if len(answered) == len(("sent", "lost")):
        losses.append(Loss("requests to the API", int(answered[0]), int(answered[1])))
    counts = [
        (int(words[0]), int(words[3]))
        for line in summary.splitlines()
        if " packets transmitted, " in line and (words := line.split())
    ]
    sent, received = sum(s for s, _ in counts), sum(r for _, r in counts)
    losses.append(Loss("pings to every host", sent, sent - received))
