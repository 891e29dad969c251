"""The jobs that are not final yet, counted in Redis under each name that limits them.

A count is a sorted set of job ids by the time at which they are forgotten, so that a place which nobody gave back,
because a process died, is free again by itself. Without Redis nothing is known here, and whoever asks has to count
elsewhere.
"""

from collections.abc import Mapping

from redis import Redis

from service.adapters.redis.client import BestEffort

PREFIX = "talkmeter:open"
# Longer than a job takes with all its attempts.
FORGET_SECONDS = 900
# All names or none, at once. The first key remembers under which names the job is counted.
_ENTER = """
local now = tonumber(redis.call('TIME')[1])
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[i + 1]) then return 0 end
end
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], now + ARGV[2], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[2])
  redis.call('SADD', KEYS[1], KEYS[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
_LEAVE = """
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('ZREM', name, ARGV[1]) end
return redis.call('DEL', KEYS[1])
"""


class RedisOpenJobs:
    def __init__(self, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._enter = redis.register_script(_ENTER)
        self._leave = redis.register_script(_LEAVE)
        self._best_effort = best_effort

    def enter(self, job_id: str, limits: Mapping[str, int]) -> bool | None:
        """See `ports.OpenJobs.enter`."""
        keys = [_job_key(job_id), *(f"{PREFIX}:{name}" for name in limits)]
        arguments = [job_id, FORGET_SECONDS, *limits.values()]
        entered = self._best_effort(lambda: self._enter(keys=keys, args=arguments), None)
        return None if entered is None else bool(entered)

    def leave(self, job_id: str) -> None:
        """See `ports.OpenJobs.leave`."""
        self._best_effort(lambda: self._leave(keys=[_job_key(job_id)], args=[job_id]), None)


def _job_key(job_id: str) -> str:
    return f"{PREFIX}:job:{job_id}"
