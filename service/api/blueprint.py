"""The blueprint that every surface uses: flask-smorest's, with our parser, examples from schemas, and facts for the
OpenAPI document that `service/api/openapi.py` completes."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask_smorest import Blueprint  # type: ignore[import-untyped]

from service.api.arguments import StrictParser
from service.api.fields import Input

View = TypeVar("View", bound=Callable[..., Any])
# flask-smorest's decorators change what a view takes and gives, so that is all there is to say of their types.
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = StrictParser()

    def route(self, rule: str, **options: Any) -> Decorator:
        decorate: Decorator = super().route(rule, **options)
        return decorate

    def arguments(self, schema: type[Input], *, location: str = "json", **options: Any) -> Decorator:
        """As flask-smorest's; the schema is made once, and its `EXAMPLE` is the body's."""
        instance = schema()
        if location == "json":
            options.setdefault("example", instance.EXAMPLE)
        decorate: Decorator = super().arguments(instance, location=location, **options)
        return decorate

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Decorator:
        """As flask-smorest's, with the schema's `EXAMPLE`."""
        decorate: Decorator = super().response(status_code, schema, **_with_example(schema, options))
        return decorate

    def alt_response(self, status_code: int, *, schema: Any, **options: Any) -> Decorator:
        """As flask-smorest's, with the schema's `EXAMPLE`."""
        decorate: Decorator = super().alt_response(status_code, schema=schema, **_with_example(schema, options))
        return decorate


def fails_with(*statuses: int) -> Callable[[View], View]:
    """Which errors a route may answer with beyond those that follow from its kind."""
    return _mark("error_statuses", statuses)


def takes_header(*names: str) -> Callable[[View], View]:
    """Which of our request headers mean something to a route: names of components in the OpenAPI document."""
    return _mark("header_names", names)


def always_ok(view: View) -> View:
    """A route that answers 200 whatever happens, with what went wrong in the body."""
    return _mark("always_ok", True)(view)


def tells_quota(view: View) -> View:
    """A route whose answers say what is left of the rate limit."""
    return _mark("tells_quota", True)(view)


def _mark(attribute: str, value: Any) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        setattr(view, attribute, value)
        return view

    return decorate


def _with_example(schema: Any, options: dict[str, Any]) -> dict[str, Any]:
    example = getattr(schema, "EXAMPLE", None)
    if example is None or "example" in options or "examples" in options:
        return options
    return {**options, "example": example}
