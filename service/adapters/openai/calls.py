"""One HTTP call to the provider: for the whole answer at once, or for its pieces as they are written.

Both read the bytes themselves, not through the SDK's models: these accept anything, take a stream that was cut for a
complete one, and cost ten times as much per chunk.
"""

from collections.abc import Callable
from typing import Any, Protocol

import httpx2
from openai import APIConnectionError, APITimeoutError, OpenAI

from service.adapters.openai import wire
from service.domain.errors import UpstreamFailed
from service.usecases.ports import ChatAnswer

_DONE = b"[DONE]"


class Call(Protocol):
    """`streamed` says how the call's parameters must ask."""

    @property
    def streamed(self) -> bool: ...

    @property
    def has_shown(self) -> bool:
        """Whether a client may have seen some of an answer, so that there can't be another one."""

    def __call__(self, client: OpenAI, parameters: dict[str, Any]) -> ChatAnswer:
        """Raises UpstreamFailed, and the SDK's APIError."""


class PlainCall:
    streamed = False
    has_shown = False

    def __call__(self, client: OpenAI, parameters: dict[str, Any]) -> ChatAnswer:
        reply = client.chat.completions.with_raw_response.create(**parameters)
        return wire.answer(reply.http_response.content)


class StreamedCall:
    """Hands each piece of the answer to `show`."""

    streamed = True

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.has_shown = False

    def __call__(self, client: OpenAI, parameters: dict[str, Any]) -> ChatAnswer:
        assembly = wire.Assembly()
        with client.chat.completions.with_streaming_response.create(**parameters) as reply:
            response: httpx2.Response = reply.http_response
            try:
                self._read(response, assembly)
            except (httpx2.TransportError, UpstreamFailed) as error:
                # With the finish reason the answer was complete; only the usage may have been lost.
                if assembly.finish_reason is None:
                    raise _as_sdk_says(error, response) from error
        return assembly.answer()

    def _read(self, response: httpx2.Response, assembly: wire.Assembly) -> None:
        chunks = 0
        for data in wire.data_lines(response.iter_bytes()):
            if data == _DONE:
                break
            piece, chunks = assembly.add(data), chunks + 1
            if piece:
                self.has_shown = True
                self._show(piece)
        if assembly.finish_reason is None:
            if not chunks:
                raise UpstreamFailed("not a stream")
            raise httpx2.RemoteProtocolError("the stream ended without a finish reason")


def _as_sdk_says(error: Exception, response: httpx2.Response) -> Exception:
    """The same as the SDK raises for plain calls, so that it is judged in one place."""
    if isinstance(error, httpx2.TimeoutException):
        return APITimeoutError(request=response.request)
    if isinstance(error, httpx2.TransportError):
        return APIConnectionError(request=response.request)
    return error
