"""Settings for tests and bench on servers of their own: the environment of a process, in lower case."""

from typing import Any

from devstack.servers import MongoServer, RedisServer, UpstreamServer

JWT_SECRET_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef"  # noqa: S105 - of the tests alone


def quick_settings(mongo: MongoServer, redis: RedisServer, upstream: UpstreamServer) -> dict[str, Any]:
    """A stack on these servers, with cheap passwords and short leases so that tests are fast."""
    return {
        "app_env": "development",
        "mongodb_uri": mongo.uri,
        "redis_url": redis.uri,
        "openai_base_url": upstream.uri,
        "openai_api_key": "sk-of-the-stand-in",
        "openai_standin": "true",
        "jwt_secret_key": JWT_SECRET_KEY,
        "argon2_time_cost": "1",
        "argon2_memory_kib": "64",
        "argon2_parallelism": "1",
        "rate_limit_per_minute": "100000",
        "key_rate_limit_per_minute": "100000",
        "max_connections_per_account": "1000",
        "rate_limit_ms": "100",
        "socket_ping_seconds": "1",
        "job_lease_seconds": "3",
        "job_deadline_seconds": "20",
        "worker_grace_seconds": "1",
        "upkeep_interval_seconds": "0.3",
        "payment_sweep_seconds": "0.5",
        "payment_recheck_seconds": "1",
    }
