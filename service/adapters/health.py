"""The state of what the service stands on."""

from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from service.usecases.ports import Breaker

PING_SECONDS = 1.5


class Health:
    """`down` when the service can't answer at all (MongoDB), `degraded` when it answers late or refuses new jobs."""

    def __init__(
        self, *, mongo: MongoClient[dict[str, Any]], redis: "Redis[bytes]", breaker: Breaker, standin: bool
    ) -> None:
        self._mongo = mongo
        self._redis = redis
        self._breaker = breaker
        self._standin = standin

    def check(self) -> dict[str, Any]:
        """Within two seconds: `{"status": ok|degraded|down, "dependencies": {name: {"status": up|down|refusing}}}`."""
        mongo, redis = self._mongo_is_up(), self._redis_is_up()
        refusing = redis and self._breaker.is_open()
        status = "down" if not mongo else "ok" if redis and not refusing else "degraded"
        upstream = {"status": "refusing" if refusing else "up", "standin": self._standin}
        return {
            "status": status,
            "dependencies": {"mongodb": _state(mongo), "redis": _state(redis), "upstream": upstream},
        }

    def _mongo_is_up(self) -> bool:
        try:
            with pymongo.timeout(PING_SECONDS):
                self._mongo.admin.command("ping")
        except PyMongoError:
            return False
        return True

    def _redis_is_up(self) -> bool:
        try:
            return bool(self._redis.ping())
        except (RedisError, OSError):
            return False


def _state(up: bool) -> dict[str, str]:
    return {"status": "up" if up else "down"}
