"""For operators and orchestrators: `/health`, `/health/live` and `/metrics`."""

import time
from typing import Any

import structlog
from flask import Response, jsonify, request
from marshmallow import fields

from service.api.auth import public
from service.api.blueprint import ApiBlueprint
from service.api.fields import Choice, Input, Output, Record
from service.api.state import services

log = structlog.get_logger(__name__)

blueprint = ApiBlueprint("ops", __name__, description="Health and metrics")

_JSON, _TEXT = "application/json", "text/plain"
_STARTED = time.monotonic()


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


class MetricsQuery(Input):
    format = Choice(("json", "text"), load_default=None, metadata={"description": "Else by `Accept`; text by default."})


class Memory(Output):
    rss = fields.Integer(required=True, metadata={"description": "Bytes of this web process."})


class Vitals(Output):
    EXAMPLE = {"activeConnections": 5, "sockets": 3, "streams": 2, "memory": {"rss": 104857600}, "uptime": 86400}

    active_connections = fields.Integer(required=True, metadata={"description": "`sockets` and `streams`."})
    sockets = fields.Integer(required=True, metadata={"description": "Open WebSockets, of all web processes here."})
    streams = fields.Integer(required=True, metadata={"description": "Clients that follow an answer, likewise."})
    memory = Record(Memory, required=True)
    uptime = fields.Integer(required=True, metadata={"description": "Seconds since this web process started."})


@blueprint.route("/metrics", methods=["GET"])
@public
@blueprint.arguments(MetricsQuery, location="query")
@blueprint.response(200, Vitals, description="Prometheus' text format; as JSON the few figures of a look in passing")
@blueprint.alt_response(
    200,
    schema={"type": "string"},
    content_type=_TEXT,
    example='http_requests_total{method="GET",route="/api/billing",status="200"} 42.0\n',
    success=True,
)
def metrics(query: dict[str, Any]) -> Response:
    """Show the metrics

    Prometheus' text has everything, also how many users are active and what they have on average, as measured once a
    minute.
    """
    wanted = {"json": _JSON, "text": _TEXT, None: request.accept_mimetypes.best_match((_TEXT, _JSON), _TEXT)}
    if wanted[query["format"]] == _JSON:
        return jsonify(Vitals().dump(_vitals()))
    _tell_figures()
    exposition, content_type = services().metrics.render()
    return Response(exposition, content_type=content_type)


def _tell_figures() -> None:
    try:
        services().metrics.figures(services().figures.latest())
        services().metrics.model_lives(services().catalog.desk.days_left())
    except services().outages as outage:
        # All else is known without the database, and wanted most when it is away.
        log.warning("metrics without the figures", reason=type(outage).__name__)


def _vitals() -> dict[str, Any]:
    sockets, streams = services().metrics.connections()
    return {
        "active_connections": sockets + streams,
        "sockets": sockets,
        "streams": streams,
        "memory": {"rss": services().metrics.memory()},
        "uptime": int(time.monotonic() - _STARTED),
    }
