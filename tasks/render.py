"""Render the artifacts of one host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from traceback import walk_tb

from jinja2 import (
    Environment,
    FileSystemLoader,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from nornir.core.exceptions import NornirSubTaskError
from nornir.core.task import Result, Task
from nornir_jinja2.plugins.tasks import template_file

from goldentooth.artifact import Artifact, Draft
from goldentooth.errors import RenderError
from goldentooth.model import Network, Node
from goldentooth.report.render import HostRender
from goldentooth.services import Service
from goldentooth.yamlfile import display_path


@dataclass(frozen=True)
class RenderJob:
    """What is the same for all hosts of one run."""

    network: Network
    services: tuple[tuple[Service, frozenset[str]], ...]
    """Every service with the names of the hosts that it is on."""
    templates: Environment
    stop: Event
    """Set when the run is over early: hosts that have not begun are left out."""


@dataclass(frozen=True)
class JudgeJob:
    """What has been rendered, keyed by host, and the folder that it is staged in."""

    rendered: Mapping[str, HostRender]
    folder: Path
    stop: Event


def render_host(task: Task, job: RenderJob) -> Result:
    """Make everything intended for ``task.host``, in memory.

    Nothing is read or written: threads that did so in turns would wait for each other.

    Returns:
        A result whose ``result`` is a :class:`~goldentooth.report.render.HostRender`;
        ``failed`` if anything could not be made or was rejected by its judge.
    """
    node = job.network.nodes[task.host.name]
    if job.stop.is_set():
        return _result(task, HostRender(node.name, failure="interrupted"))
    try:
        artifacts = tuple(_artifacts(task, job, node))
    except RenderError as error:
        return _result(task, HostRender(node.name, failure=str(error)))
    return _result(task, HostRender(node.name, artifacts=artifacts))


def judge_host(task: Task, job: JudgeJob) -> Result:
    """Let the native judges rule on the staged files of ``task.host``."""
    from goldentooth.judging import judge_artifact  # subprocess is needed only here

    render = job.rendered[task.host.name]
    verdicts = tuple(
        judge_artifact(a, a.judge, job.folder / a.location, job.stop)
        for a in render.artifacts
        if a.judge and not job.stop.is_set()
    )
    return _result(task, replace(render, verdicts=verdicts))


def _artifacts(task: Task, job: RenderJob, node: Node) -> list[Artifact]:
    artifacts: dict[str, Artifact] = {}
    for service, hosts in job.services:
        if node.name not in hosts:
            continue
        for draft in service.drafts(job.network, node):
            if job.stop.is_set():
                raise RenderError("interrupted")
            text = draft.text if draft.text is not None else _fill(task, job, draft)
            artifact = draft.finished(service.name, node.name, text)
            if artifact.location in artifacts:
                other = artifacts[artifact.location].service
                raise RenderError(f"{draft.path} is wanted twice, by {other} and {service.name}")
            artifacts[artifact.location] = artifact
    return list(artifacts.values())


def _fill(task: Task, job: RenderJob, draft: Draft) -> str:
    try:
        filled = task.run(
            template_file, template=draft.template, jinja_env=job.templates, **draft.context
        )
    except NornirSubTaskError as error:
        cause = error.result[0].exception
        raise RenderError(_template_failure(job, draft, cause)) from cause
    text: str = filled[0].result
    return text


def _template_failure(job: RenderJob, draft: Draft, cause: BaseException | None) -> str:
    """Say which template, which line, and what is wrong there."""
    loader = job.templates.loader
    folder = Path(loader.searchpath[0]) if isinstance(loader, FileSystemLoader) else Path()
    file, line = folder / str(draft.template), 1
    for frame, number in walk_tb(cause.__traceback__ if cause else None):
        if frame.f_code.co_filename.endswith(".j2"):  # Jinja names its code after the template
            file, line = Path(frame.f_code.co_filename), number
    what: object = cause
    if isinstance(cause, TemplateNotFound):
        what = f"there is no template {cause.name}"
    elif isinstance(cause, TemplateSyntaxError):
        file, line = folder / str(cause.name or draft.template), cause.lineno
        what = cause.message
    elif isinstance(cause, TemplateError):
        what = cause.message or cause
    return f"{display_path(file)}:{line}: {what} (for {draft.path})"


def _result(task: Task, render: HostRender) -> Result:
    return Result(host=task.host, result=render, failed=render.has_failed)
