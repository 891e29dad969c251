"""Builds the object graph once per process (after any fork). Web, workers, command line and tests use the same one."""

from service.bootstrap.container import Container, build

__all__ = ["Container", "build"]
