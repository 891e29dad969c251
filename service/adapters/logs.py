"""Structured logs: one ECS JSON object a line on standard output, of our own code and of the libraries alike.

Bind what belongs to a request or a job with `structlog.contextvars`; never log prompts, answers, names, tokens, keys,
request bodies or query strings.
"""

import logging
import re
import sys
import threading
import types
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO, cast

import ecs_logging
import gevent.hub
import structlog

# An API key may be part of a path, and a path part of what a library says.
_KEY = re.compile(r"tm_[A-Za-z0-9_-]{20,}")
# Nor what a browser puts into the address of a WebSocket, or a client into a header that is broken.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# The same where it has no such form, as in an address that somebody got wrong.
_IN_QUERY = re.compile(r"(?i)([?&](?:[a-z_]*token|[a-z_]*key|password|code|secret)=)[^&\s\"'\\]+")
_QUERY = re.compile(r"\?[^\s\"']+")

uncaught = logging.getLogger("uncaught")
# What has a name of its own, better than its type's.
_NAMED = (
    *(types.FunctionType, types.MethodType, types.BuiltinFunctionType, type),
    *(types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType),
)


def handler(service_name: str, to: TextIO | None = None) -> logging.Handler:
    """Writes ECS lines of this part: web, worker, scheduler, flower, exporter, cli; to standard output unless told."""
    handler = logging.StreamHandler(to or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
            processors=[
                _of_record,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _named(service_name),
                cast(structlog.types.Processor, ecs_logging.StructlogFormatter()),
                _masked_line,
            ],
        )
    )
    return handler


def configure(level: str, service_name: str, to: TextIO | None = None) -> None:
    """Set up the process's logging, before and after the level is known; part and stream are as for `handler`.

    What nobody catches, in whichever thread or greenlet, becomes a line too.
    """
    root = logging.getLogger()
    root.handlers[:] = [handler(service_name, to)]
    root.setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _uncaught_by_nobody
    # It would be printed.
    gevent.hub.Hub.print_exception = _uncaught_in_greenlet
    # These libraries log every request with its URL, or every task with its arguments.
    for chatty in (
        "httpx2",
        "httpcore2",
        "openai",
        "celery.app.trace",
        "celery.worker.strategy",
        "celery.beat",
        "pymongo",
    ):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # The web server's own, of requests that it can't even read.
    logging.getLogger("gunicorn.error").addFilter(_Masked())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def masked(text: str) -> str:
    """The text without API keys and tokens."""
    return _IN_QUERY.sub(r"\1***", _TOKEN.sub("eyJ***", _KEY.sub("tm_***", text)))


def _masked_line(_logger: object, _method: str, line: Any) -> str:
    return masked(str(line))


class _Masked(logging.Filter):
    """Of requests as they came: what is in a query string is nobody's business, say what somebody searched for."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _QUERY.sub("?***", masked(record.getMessage())), ()
        return True


def _of_record(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Who says it, and how bad it is: `exception` is the name of a method, not of a level."""
    record: logging.LogRecord = event["_record"]
    event["log.logger"], event["log.level"] = record.name, record.levelname.lower()
    return event


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    uncaught.critical("process broke", exc_info=(kind, error, trace))


def _uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
    if details.exc_value is None or issubclass(details.exc_type, SystemExit):
        return
    uncaught.error("thread broke", exc_info=(details.exc_type, details.exc_value, details.exc_traceback))


def _uncaught_by_nobody(details: "sys.UnraisableHookArgs", is_over: Callable[[], bool] = sys.is_finalizing) -> None:
    """As of a generator that is thrown away. While the interpreter ends nothing is said: logging is gone by then, and
    so are the names of this module, which is why `is_over` is bound."""
    if is_over():
        return
    said: dict[str, Any] = {"error.type": details.exc_type.__name__}
    if details.err_msg is not None:
        said["reason"] = details.err_msg
    if details.object is not None:
        said["object"] = _name_of(details.object)
    if details.exc_value is not None:
        said["exc_info"] = (details.exc_type, details.exc_value, details.exc_traceback)
    structlog.get_logger(uncaught.name).error("exception ignored", **said)


def _name_of(thing: object) -> str:
    """Never its `repr`, which may tell what it holds."""
    named = thing if issubclass(type(thing), _NAMED) else type(thing)
    return str(named.__qualname__)  # type: ignore[attr-defined]


def _uncaught_in_greenlet(_hub: object, _context: object, kind: Any, error: Any, trace: Any) -> None:
    uncaught.error("greenlet broke", exc_info=(kind, error, trace))


def _named(service_name: str) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.pop("_record", None)
        event["service.name"] = service_name
        return event

    return add
