"""The web UI: built from `web/` into `static/ui` and served at `/`, with strict headers and from local files only.

A path of the UI's own router is answered with its one page, whatever the rest of it says; every other path stays the
API's, with the API's 404, which a person at an address that is none gets as a page. Where the UI is not built (tests
of the API need no Node) `/` leads to the API reference.
"""

from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, redirect, request, send_from_directory
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound as NoRoute

from service.api import errors
from service.api.auth import public
from service.domain.errors import NotFound

BUILT = Path(__file__).parent / "static" / "ui"
INDEX = "index.html"
# The first steps of the paths in `web/src/router.ts`; a test compares them.
PAGES = ("login", "register", "chat", "balance", "usage", "account", "keys", "webhooks", "admin")
# Below these an error is always the API's.
_OF_PROGRAMS = ("/api/", "/v1/", "/ws/")
_ICON = "favicon.svg"
# A model's answer is shown on these pages: nothing runs, styles or loads here but our own files.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # Bootstrap's own icons are data URLs in its style sheet.
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# The names of assets carry a hash of their content.
_FOREVER = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "no-cache"
_MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


def install(app: Flask, built: Path = BUILT) -> None:
    """Add the pages. `built` is the directory that the UI was built into, or will be."""

    @public
    def page(**_: str) -> Response:
        if not (built / INDEX).is_file():
            raise NotFound("page")
        response = _file(built, INDEX, _ASK_EACH_TIME)
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @public
    def front_page() -> ResponseReturnValue:
        return page() if (built / INDEX).is_file() else redirect("/docs")

    @public
    def asset(filename: str) -> Response:
        return _file(built / "assets", filename, _FOREVER)

    @public
    def icon() -> Response:
        return _file(built, _ICON, _ASK_EACH_TIME)

    def missing(error: NoRoute) -> Response:
        refusal = errors.http(error)
        if not _is_visit() or not (built / INDEX).is_file():
            return refusal
        response = page()
        response.status_code = HTTPStatus.NOT_FOUND
        return response

    app.register_error_handler(NoRoute, missing)
    app.add_url_rule("/", "ui_front_page", front_page)
    app.add_url_rule("/assets/<path:filename>", "ui_asset", asset)
    app.add_url_rule(f"/{_ICON}", "ui_icon", icon)
    for first in PAGES:
        app.add_url_rule(f"/{first}", "ui_page", page)
        app.add_url_rule(f"/{first}/<path:rest>", "ui_page", page)


def _is_visit() -> bool:
    """Whether a browser goes there to show what it gets. Who accepts HTML may still be a program: some name it too."""
    of_programs = request.path.startswith(_OF_PROGRAMS)
    return request.method in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Mode") == "navigate" and not of_programs


def _file(directory: Path, name: str, caching: str) -> Response:
    """The file, or what the build compressed of it. Raises werkzeug's NotFound."""
    packed = request.accept_encodings.quality("gzip") > 0 and (directory / f"{name}.gz").is_file()
    response = send_from_directory(
        directory, f"{name}.gz" if packed else name, mimetype=_media_type(name), download_name=Path(name).name
    )
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = caching
    return response


def _media_type(name: str) -> str:
    """Said by us: a machine's own table of media types may hold anything."""
    return _MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
