"""Structured logs: one ECS JSON object a line on standard output, of our own code and of the libraries alike.

Bind what belongs to a request or a job with `structlog.contextvars`; never log prompts, answers, names, tokens, keys,
request bodies or query strings.
"""

import logging
import re
import sys
from typing import Any, TextIO, cast

import ecs_logging
import structlog

# An API key may be part of a path, and a path part of what a library says.
_KEY = re.compile(r"tm_[A-Za-z0-9_-]{20,}")
# Nor what a browser puts into the address of a WebSocket, or a client into a header that is broken.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def handler(service_name: str, to: TextIO | None = None) -> logging.Handler:
    """Writes ECS lines of this part: web, worker, scheduler, flower, exporter, cli; to standard output unless told."""
    handler = logging.StreamHandler(to or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
            processors=[
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
    """Set up the process's logging once. `service_name` is the part, and `to` the stream, as for `handler`."""
    root = logging.getLogger()
    root.handlers[:] = [handler(service_name, to)]
    root.setLevel(level)
    logging.captureWarnings(True)
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
    # The web server's own, of requests that it can't even read; its handlers are not ours.
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
    return _TOKEN.sub("eyJ***", _KEY.sub("tm_***", text))


def _masked_line(_logger: object, _method: str, line: Any) -> str:
    return masked(str(line))


class _Masked(logging.Filter):
    """For loggers whose lines go elsewhere."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), ()
        return True


def _named(service_name: str) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.pop("_record", None)
        event["service.name"] = service_name
        return event

    return add
