"""How many connections the kernel lets this process have open."""

import resource

import structlog

log = structlog.get_logger(__name__)

# For the database, Redis, logs and whatever else a process has open beside its clients.
SPARE_FILES = 512


def allow(connections: int) -> bool:
    """Take as many open files as the system grants; False, and a line in the log, if that many clients won't fit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = connections + SPARE_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        log.warning("too few open files allowed", limit=most, needed=needed, worker_connections=connections)
        return False
    log.info("open files allowed", limit=most, worker_connections=connections)
    return True
