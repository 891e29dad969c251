"""Structured logs: one ECS JSON object a line on standard output, of our own code and of the libraries alike.

Bind what belongs to a request or a job with `structlog.contextvars`; never log prompts, answers, names, tokens, keys,
request bodies or query strings.
"""

import logging
import sys
from typing import cast

import ecs_logging
import structlog


def configure(level: str, service_name: str) -> None:
    """Set up the process's logging once. `service_name` is the part: web, worker, cli."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _named(service_name),
                cast(structlog.types.Processor, ecs_logging.StructlogFormatter()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
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


def _named(service_name: str) -> structlog.types.Processor:
    def add(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.pop("_record", None)
        event["service.name"] = service_name
        return event

    return add
