"""Makes the Flask application: the surfaces on one object graph, with everything around them."""

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from service.api import bot as bot_replies
from service.api import cors, docs, errors, observe, ops, payment_page, state, tokens, ui
from service.api.arguments import KIB
from service.api.blueprints import admin, bot, coach, dialogs, gateway, learning, openai
from service.api.openapi import DocumentedApi
from service.api.sockets import routes as sockets
from service.bootstrap import Container

SURFACES = (
    *gateway.BLUEPRINTS,
    *dialogs.BLUEPRINTS,
    *coach.BLUEPRINTS,
    *learning.BLUEPRINTS,
    *bot.BLUEPRINTS,
    *openai.BLUEPRINTS,
    *admin.BLUEPRINTS,
    ops.blueprint,
)


class _Json(DefaultJSONProvider):
    """Readable Cyrillic, keys in the order of the schema, and the character set said aloud."""

    ensure_ascii = False
    sort_keys = False
    compact = True
    mimetype = "application/json; charset=utf-8"


def create_app(container: Container) -> Flask:
    """The application for one process. Call it after the fork, as `container` must be built there."""
    settings = container.settings
    app = Flask("service.api", static_folder="static", static_url_path="/docs/static")
    app.json = _Json(app)
    # One byte more than is allowed: Werkzeug cuts a body of unknown length off here without a word, so that only a
    # body which reaches this far is known to be too long. `read_body` judges.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_kib * KIB + 1
    # A redirect to the "right" spelling would lose the body of a POST.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    state.install(app, container)
    observe.install(app)
    tokens.install(app, settings)
    api = DocumentedApi(app)
    for surface in SURFACES:
        api.register_blueprint(surface)
    docs.install(app, api)
    ui.install(app)
    sockets.install(app)
    payment_page.install(app, container.paying.test_payments)
    errors.install(app, container.outages)
    cors.install(app, settings.origins)
    bot_replies.install()
    _trust_proxies(app, settings.trusted_proxies)
    return app


def _trust_proxies(app: Flask, count: int) -> None:
    """Take address and scheme from so many proxies' headers; with none, anyone could forge them."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count)  # type: ignore[method-assign]
