"""The documentation pages: `/openapi.json`, Swagger UI at `/docs` and Redoc at `/redoc`, with local assets only."""

from flask import Flask, Response, render_template

from service.api.auth import public
from service.api.openapi import DocumentedApi

# What the two pages need beyond the strict policy of everything else: both style themselves, Redoc searches in a
# worker, and Swagger UI and Redoc carry their icons as data URLs.
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def install(app: Flask, api: DocumentedApi) -> None:
    """Add the pages. Call it after all surfaces are registered: the document is made here, once."""
    document = app.json.dumps(api.document())

    @public
    def openapi() -> Response:
        return Response(document, content_type="application/json; charset=utf-8")

    @public
    def swagger_ui() -> Response:
        return _page("swagger.html")

    @public
    def redoc() -> Response:
        return _page("redoc.html")

    app.add_url_rule("/openapi.json", view_func=openapi)
    app.add_url_rule("/docs", view_func=swagger_ui)
    app.add_url_rule("/redoc", view_func=redoc)
    app.view_functions["static"] = public(app.view_functions["static"])


def _page(template: str) -> Response:
    response = Response(render_template(template), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response
