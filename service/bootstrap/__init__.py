"""Builds the object graph once per process (after any fork). Web, workers, command line and tests use the same one."""

from service.bootstrap.container import Container, build
from service.bootstrap.watching import Watching, watch

__all__ = ["Container", "Watching", "build", "watch"]
