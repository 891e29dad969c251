"""`/api/admin`: dialogs, the overview, the other tools and the audit trail."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.admin.schemas import AdminLinks, AuditSearch, AuditTrail, Dialogs, Overview
from service.api.schemas import Cursor
from service.api.state import services
from service.domain.accounts import Actor

blueprint = ApiBlueprint("admin-insight", __name__, url_prefix="/api/admin", description="Operators: what happens")


@blueprint.route("/user/<user_id>/dialogs", methods=["GET"])
@authenticated("support")
@fails_with(404)
@blueprint.arguments(Cursor, location="query")
@blueprint.response(200, Dialogs, description="A page of dialogs, newest first")
def dialogs(query: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Show the dialogs of an account

    Each with its newest messages. Every look is written to the audit trail.
    """
    page = services().admin.dialogs(actor, user_id, query["cursor"], query["limit"])
    return {"dialogs": page.items, "next_cursor": page.next_cursor}


@blueprint.route("/overview", methods=["GET"])
@authenticated("support")
@blueprint.response(200, Overview, description="The service now and its last seven days")
def overview(*, actor: Actor) -> dict[str, Any]:
    """Show how the service does

    The jobs are those of this moment; everything else is measured once a minute. Requests are counted where they are
    answered and written down every ten seconds and when a process ends; one that is killed may take the last of them
    with it.
    """
    found = services().admin.overview(actor)
    figures = found.figures
    return {
        "jobs": {status: found.jobs_open.get(status, 0) for status in ("queued", "running")},
        "active_users": figures.active_users,
        "balance": {"mean": figures.balance_mean, "median": figures.balance_median},
        "days": figures.days,
        "models": figures.models,
        "failures": figures.failures,
        "requests": [
            {
                "day": each.day,
                "requests": each.requests,
                "errors": [{"code": code, "requests": count} for code, count in sorted(each.errors.items())],
            }
            for each in figures.requests
        ],
        "measured_at": figures.measured_at,
    }


@blueprint.route("/links", methods=["GET"])
@authenticated("support")
@blueprint.response(200, AdminLinks, description="Addresses for a browser; `null` where there is none")
def links(*, actor: Actor) -> dict[str, Any]:
    """Show where the other tools are"""
    settings = services().settings
    return {"flower": settings.flower_url or None, "grafana": settings.grafana_url or None}


@blueprint.route("/audit", methods=["GET"])
@authenticated("support")
@blueprint.arguments(AuditSearch, location="query")
@blueprint.response(200, AuditTrail, description="A page of the trail, newest first")
def audit(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Show who looked at or changed what is somebody else's"""
    page = services().admin.audit_trail(actor, query["subject_id"], query["cursor"], query["limit"])
    return {"audit": page.items, "next_cursor": page.next_cursor}
