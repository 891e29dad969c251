"""What a POST that asks the model answers with: the surface's own body if the answer comes in time, else the 202."""

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify
from marshmallow import Schema

from service.api import events
from service.api.errors import JobFailed
from service.api.headers import MAX_WAIT_SECONDS, Preference, preference
from service.api.jobs import accepted, job_body
from service.api.schemas import Job as JobSchema
from service.api.state import services
from service.api.staying import streaming, waiting
from service.domain.accounts import Actor
from service.domain.errors import JobCancelled
from service.domain.jobs import Job, JobStatus

# For surfaces whose clients know only a synchronous reply.
PATIENT_SECONDS = MAX_WAIT_SECONDS
_JOB = JobSchema()


def answer(
    actor: Actor, submit: Callable[[], Job], schema: Schema, body: Callable[[Job], Any], *, wait_seconds: int
) -> Response:
    """Submit, wait as long as the client prefers, else `wait_seconds`, and answer as far as the job got.

    `body` is what `schema` makes the answer of. Raises JobFailed for a job that failed while the client waited, and
    RateLimited before anything is submitted if too many of the actor's requests wait already.
    """
    wanted = preference()
    seconds = wanted.seconds(wait_seconds)
    with waiting(actor, seconds):
        job = submit()
        if seconds > 0:
            job = _wait(actor, job, seconds)
    if not (seconds > 0 and job.status.is_final):
        response = accepted(job)
        response.headers.update(_applied(wanted, accepted=True))
        return response
    if job.status is JobStatus.FAILED:
        raise JobFailed(job)
    response = jsonify(schema.dump(body(job)))
    response.headers.update(_applied(wanted, accepted=False))
    return response


def answer_job(actor: Actor, submit: Callable[[], Job]) -> Response:
    """Answer with the job itself: as its event stream if the client accepts one, else as `answer` does, waiting as long
    as the API key or the installation says."""
    if events.wants_events():
        return streaming(actor, lambda: events.follow(submit(), events.last_event_id()))
    history = services().settings.max_history_length
    seconds = services().settings.chat_wait_seconds
    if actor.key is not None and actor.key.wait_seconds is not None:
        seconds = actor.key.wait_seconds
    return answer(actor, submit, _JOB, lambda final: job_body(final, actor, history), wait_seconds=seconds)


def answered(job: Job) -> str:
    """The text of a job's answer, for bodies that can't do without. Raises JobCancelled."""
    if job.answer is None:
        raise JobCancelled(extra={"jobId": job.id})
    return job.answer


def _wait(actor: Actor, job: Job, seconds: int) -> Job:
    try:
        return services().jobs.wait(actor, job.id, seconds)
    except services().outages:
        # It has been accepted, so an outage now must not look like a refusal: the client polls.
        return job


def _applied(wanted: Preference, *, accepted: bool) -> dict[str, str]:
    applied = wanted.applied(accepted=accepted)
    return {} if applied is None else {"Preference-Applied": applied}
