"""For operators and orchestrators: `/health`, `/health/live` and `/metrics`."""

from typing import Any

from flask import Response
from marshmallow import fields

from service.api.auth import public
from service.api.blueprint import ApiBlueprint
from service.api.fields import Output, Record
from service.api.state import services

blueprint = ApiBlueprint("ops", __name__, description="Health and metrics")


class Dependency(Output):
    status = fields.String(required=True, metadata={"enum": ["up", "down", "refusing"]})
    standin = fields.Boolean(metadata={"description": "Whether answers come from a stand-in instead of a model."})


class Dependencies(Output):
    mongodb = Record(Dependency, required=True)
    redis = Record(Dependency, required=True)
    upstream = Record(Dependency, required=True)


class HealthReport(Output):
    EXAMPLE = {
        "status": "ok",
        "dependencies": {
            "mongodb": {"status": "up"},
            "redis": {"status": "up"},
            "upstream": {"status": "up", "standin": False},
        },
    }

    status = fields.String(required=True, metadata={"enum": ["ok", "degraded", "down"]})
    dependencies = Record(Dependencies, required=True)


class Alive(Output):
    EXAMPLE = {"status": "ok"}

    status = fields.String(required=True)


@blueprint.route("/health", methods=["GET"])
@public
@blueprint.response(200, HealthReport, description="The service can answer, perhaps late (`degraded`)")
@blueprint.alt_response(
    503,
    schema=HealthReport,
    description="A dependency that it can't serve without is down",
    example={
        "status": "down",
        "dependencies": {
            "mongodb": {"status": "down"},
            "redis": {"status": "up"},
            "upstream": {"status": "up", "standin": False},
        },
    },
)
def health() -> tuple[dict[str, Any], int]:
    """Tell whether the service can do its work"""
    report = services().health.check()
    return report, 503 if report["status"] == "down" else 200


@blueprint.route("/health/live", methods=["GET"])
@public
@blueprint.response(200, Alive, description="This process answers")
def live() -> dict[str, Any]:
    """Tell whether this process answers

    For restarts by an orchestrator: looks at no dependency, because a restart would not bring one back.
    """
    return {"status": "ok"}


@blueprint.route("/metrics", methods=["GET"])
@public
@blueprint.response(
    200,
    {"type": "string"},
    content_type="text/plain",
    description="Prometheus' text format",
    example='http_requests_total{method="GET",route="/api/billing",status="200"} 42.0\n',
)
def metrics() -> Response:
    """Show the metrics"""
    exposition, content_type = services().metrics.render()
    return Response(exposition, content_type=content_type)
