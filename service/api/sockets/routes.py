"""The addresses of the WebSockets, who may connect there, and the library between gunicorn and us."""

import time
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Flask, Response, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import RemoteProtocolError

from service.api.arguments import KIB
from service.api.auth import public
from service.api.errors import respond
from service.api.sockets import registry
from service.api.sockets.callers import PROTOCOL, token_of_handshake
from service.api.sockets.connection import Connection
from service.api.sockets.line import Line, NoThread
from service.api.sockets.own_dialog import OwnDialog
from service.api.sockets.session_dialog import SessionDialog
from service.api.sockets.talk import Talk
from service.api.state import container_of, services
from service.domain.errors import Forbidden, ValidationFailed

log = structlog.get_logger(__name__)

ANY_ORIGIN = "*"
# Beyond so many times MAX_BODY_KIB a frame is not even read to its end, and the socket is closed with 1009.
FRAME_BODIES = 2
MAX_AFTER_DIGITS = 9

blueprint = Blueprint("sockets", __name__)
_sock = Sock()


def install(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {
        "subprotocols": [PROTOCOL],
        "max_message_size": FRAME_BODIES * container_of(app).settings.max_body_kib * KIB,
        "thread_class": NoThread,
    }
    registry.install(app)
    app.register_blueprint(blueprint)


@blueprint.before_request
def _admit() -> None:
    """What can be refused before there is a socket. Raises Forbidden, ValidationFailed."""
    _check_origin()
    _after()
    environ = request.environ
    # Compression would cost each socket more memory than everything else about it.
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    environ["gunicorn.socket"] = Connection(environ["gunicorn.socket"])


@blueprint.errorhandler(RemoteProtocolError)
def _bad_handshake(_: RemoteProtocolError) -> Response:
    return respond(ValidationFailed())


@public
def _own_dialog(ws: Server) -> None:
    line = Line(ws, services().settings.socket_ping_seconds)
    _hold(line, OwnDialog(line, token_of_handshake(), request.args.get("session"), _after()))


@public
def _session(ws: Server, session_id: str) -> None:
    _hold_session(ws, session_id, restores=False)


@public
def _last_chat(ws: Server, session_id: str) -> None:
    _hold_session(ws, session_id, restores=True)


_sock.route("/", bp=blueprint, endpoint="root")(_own_dialog)
_sock.route("/ws", bp=blueprint, endpoint="ws")(_own_dialog)
_sock.route("/ws/chat/<session_id>", bp=blueprint, endpoint="session")(_session)
_sock.route("/ws/chat/<session_id>/switch", bp=blueprint, endpoint="last-chat")(_last_chat)


def _hold_session(ws: Server, session_id: str, *, restores: bool) -> None:
    line = Line(ws, services().settings.socket_ping_seconds)
    _hold(line, SessionDialog(line, token_of_handshake(), session_id, _after(), restores=restores))


def _hold(line: Line, talk: Talk) -> None:
    """Talk until the end, and leave nothing behind."""
    container, sockets, started = services(), registry.sockets_of(current_app), time.monotonic()
    container.metrics.sockets_open(1)
    log.info("socket opened")
    try:
        with sockets.holding(talk):
            code = talk(sockets.arriving())
            line.close(code)
            log.info("closing socket", code=code)
    except (ConnectionClosed, OSError) as end:
        # The client closed it, or its connection broke.
        log.debug("socket ended", reason=type(end).__name__)
    finally:
        talk.end()
        line.hang_up()
        container.metrics.sockets_open(-1)
        seconds = time.monotonic() - started
        container.metrics.socket_closed(request.url_rule.rule if request.url_rule else "", seconds)
        log.info("socket closed", messages=talk.messages, **{"event.duration": int(seconds * 1e9)})


def _check_origin() -> None:
    """A browser says on which page a script runs. Raises Forbidden if that page is nobody's whom we know."""
    origin = request.headers.get("Origin", "").lower()
    settings = services().settings
    allowed = settings.origins | {settings.public_root.lower()}
    if origin and ANY_ORIGIN not in allowed and origin not in allowed and _host(origin) != request.host.lower():
        raise Forbidden("foreign origin")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        # No browser sends such a thing.
        return None


def _after() -> int | None:
    """The characters of the last answer that the client has. Raises ValidationFailed."""
    after = request.args.get("after")
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= MAX_AFTER_DIGITS):
        raise ValidationFailed(details={"after": ["not_integer"]})
    return int(after)
