"""`/api/admin/jobs`: the jobs of all accounts, without their texts."""

from typing import Any

from flask import Response

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.admin.schemas import AdminJobs
from service.api.jobs import accepted, job_summary
from service.api.schemas import Accepted, JobFilter, JobSummary
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.jobs import JobStatus
from service.usecases.ports import JobQuery

blueprint = ApiBlueprint("admin-jobs", __name__, url_prefix="/api/admin/jobs", description="Operators: jobs")


@blueprint.route("", methods=["GET"])
@authenticated("support")
@blueprint.arguments(JobFilter, location="query")
@blueprint.response(200, AdminJobs, description="A page of jobs, newest first")
def list_jobs(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List the jobs of all accounts"""
    page = services().admin.jobs(
        actor,
        JobQuery(
            account_id=query["user_id"],
            status=JobStatus(query["status"]) if query["status"] else None,
            cursor=query["cursor"],
            limit=query["limit"],
        ),
    )
    return {"jobs": [job_summary(job, actor) for job in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/<job_id>/retry", methods=["POST"])
@authenticated("admin")
@fails_with(400, 402, 404, 409, 429)
@blueprint.response(202, Accepted, description="A new job of the same account")
def retry(*, actor: Actor, job_id: str) -> Response:
    """Ask a failed job's question again

    As a new job with the same briefing, charged to the same account; the failed one stays as it is. Not one that was
    asked outside any dialog.
    """
    return accepted(services().admin.retry_job(actor, job_id))


@blueprint.route("/<job_id>/cancel", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(200, JobSummary, description="The job; a running one becomes `cancelled` within about a second")
def cancel(*, actor: Actor, job_id: str) -> dict[str, Any]:
    """Cancel somebody's job"""
    return job_summary(services().admin.cancel_job(actor, job_id), actor)
