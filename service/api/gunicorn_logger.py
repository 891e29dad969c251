"""gunicorn's own lines (starts, stops, requests that it can't read) as the service's: ECS JSON, secrets masked."""

from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from service.adapters import logs


class Logger(GunicornLogger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = [logs.handler("web")]
