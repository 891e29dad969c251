"""The errors that mean "MongoDB is away", so that callers can tell an outage from a defect."""

from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

# A transaction that kept losing write conflicts until its time was over ends as an ExecutionTimeout too.
OUTAGES: tuple[type[PyMongoError], ...] = (
    ConnectionFailure,
    ExecutionTimeout,
    WTimeoutError,
    WaitQueueTimeoutError,
)
