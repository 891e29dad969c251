"""A local stand-in for OpenAI: `python -m devstack.upstream --port 4010 --journal FILE`.

Speaks the wire format of `/v1/chat/completions`, streamed or not, and of `/v1/models`. Its default
answer says plainly that it is a stand-in. Tests make it slow, wrong or silent by rules
(`devstack.upstream_rules`) and read what it was asked from its journal, over `/_control/…`, which
answers callers on this machine only.
"""

import argparse
import asyncio
import json
import os
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from devstack import upstream_wire as wire
from devstack.upstream_journal import Call, Journal
from devstack.upstream_rules import Rule, RuleBook, RuleError, parse_rules

# With the days on which they end, as the provider announces them. A test says which ones it lacks.
MODELS = {
    "stand-in": None,
    "gpt-4o-mini": "2027-01-14",
    "gpt-5-mini": None,
    "gpt-5.4-mini": None,
    "gpt-5.6-luna": None,
    "gpt-5.6-sol": None,
    "gpt-5.6-terra": None,
    "gpt-6-luna": None,
    "gpt-6-sol": None,
}
MAX_BODY_BYTES = 32 * 1024 * 1024
SHUTDOWN_SECONDS = 0.5
LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BrokenOffError(Exception):
    """We cut the connection on purpose: nothing more can be sent."""


class Upstream:
    """The routes, and what they share: the rules and the journal."""

    def __init__(self, journal: Journal, chunk_delay_seconds: float = 0.0) -> None:
        self.journal = journal
        self.rules = RuleBook()
        self._paced = Rule(chunk_delay_seconds=chunk_delay_seconds)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_guard])
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/_control/health", self.health)
        app.router.add_post("/_control/rules", self.add_rules)
        app.router.add_delete("/_control/rules", self.clear_rules)
        app.router.add_post("/_control/release", self.release)
        app.router.add_get("/_control/journal", self.read_journal)
        return app

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await _json_of(request)
        if not _is_chat_request(body):
            return _error(400, "A JSON object with model and messages is needed.", "invalid_request_error")
        otherwise = self._paced if body.get("stream") else Rule()
        place, rule = self.rules.match(body, wire.last_user_message(body), otherwise)
        call = self.journal.begin(dict(request.headers), body, place)
        try:
            return await self._answer(request, body, rule, call)
        except BrokenOffError:
            return web.Response()  # nobody is there to read it
        except (asyncio.CancelledError, ConnectionResetError):
            if call["finished"] is None:
                self.journal.finish(call, "disconnected")
            raise

    async def _answer(self, request: web.Request, body: dict[str, Any], rule: Rule, call: Call) -> web.StreamResponse:
        if rule.delay_seconds:
            await asyncio.sleep(rule.delay_seconds)
        if rule.hold and rule.hold_after_chunks is None:
            await self._hold(rule.hold, call)
        if rule.reset:
            self._break_off(request, call, "reset")
        refusal = self._refusal(body, rule)
        if refusal is not None:
            self.journal.finish(call, "error", status=refusal.status)
            return refusal
        if rule.raw_body is not None:
            self.journal.finish(call, "answered", status=rule.status)
            return web.Response(
                text=rule.raw_body, status=rule.status, content_type=rule.content_type, headers=rule.headers
            )
        reply = _reply(body, rule)
        if body.get("stream"):
            return await self._stream(request, body, rule, reply, call)
        return await self._plain(request, rule, reply, call)

    def _refusal(self, body: dict[str, Any], rule: Rule) -> web.Response | None:
        param = rule.refused_param(body)
        if param is not None:
            return web.json_response(wire.unsupported_value(param, body["model"]), status=400)
        if rule.error is None and (rule.status < 400 or rule.raw_body is not None):
            return None
        told = rule.error or {}
        status = rule.status if rule.status >= 400 else 500
        error = wire.error_body(
            told.get("message", f"The stand-in was told to answer {status}."),
            told.get("type", "server_error"),
            told.get("code"),
            told.get("param"),
        )
        return web.json_response(error, status=status, headers=rule.headers)

    async def _plain(self, request: web.Request, rule: Rule, reply: wire.Reply, call: Call) -> web.Response:
        for sent in range(len(reply.pieces) + 1):
            await self._fault(request, rule, sent, call)
            if rule.chunk_delay_seconds:
                await asyncio.sleep(rule.chunk_delay_seconds)
        self.journal.finish(call, "answered", status=200, usage=reply.usage)
        return web.json_response(wire.completion(reply), headers=_headers(reply, rule))

    async def _stream(
        self, request: web.Request, body: dict[str, Any], rule: Rule, reply: wire.Reply, call: Call
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-cache", **_headers(reply, rule)})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        with_usage = bool((body.get("stream_options") or {}).get("include_usage")) and reply.usage is not None
        blank = {"usage": None} if with_usage else {}
        await response.write(wire.event({**wire.first_chunk(reply), **blank}))
        for sent, piece in enumerate(reply.pieces):
            await self._fault(request, rule, sent, call, response)
            await response.write(wire.event({**wire.piece_chunk(reply, piece), **blank}))
            call["chunks"] = sent + 1
            if rule.chunk_delay_seconds:
                await asyncio.sleep(rule.chunk_delay_seconds)
        await self._fault(request, rule, len(reply.pieces), call, response)
        await response.write(wire.event({**wire.last_chunk(reply), **blank}))
        if with_usage:
            await response.write(wire.event(wire.usage_chunk(reply)))
        # Before the end goes out: whoever has read the end may at once ask for the journal.
        self.journal.finish(call, "answered", status=200, usage=reply.usage if with_usage else None)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _fault(
        self,
        request: web.Request,
        rule: Rule,
        sent: int,
        call: Call,
        response: web.StreamResponse | None = None,
    ) -> None:
        """Do what the rule wants after so many pieces; most often nothing."""
        if rule.hold and rule.hold_after_chunks == sent:
            await self._hold(rule.hold, call)
        match rule.fault_at(sent):
            case "stall":
                await self.rules.stall()
                self._break_off(request, call, "error")
            case "reset":
                self._break_off(request, call, "reset")
            case "cut" if response is not None:
                # A proper end of the body, without finish_reason and [DONE].
                self.journal.finish(call, "error", status=200)
                await response.write_eof()
                raise BrokenOffError
            case "cut":
                self._break_off(request, call, "reset")
            case "garbage" if response is not None:
                await response.write(b'data: {"id": "chatcmpl-\n\n')

    async def _hold(self, hold: str, call: Call) -> None:
        self.journal.note(call, outcome="held")
        await self.rules.wait_at(hold)
        self.journal.note(call, outcome=None)

    def _break_off(self, request: web.Request, call: Call, outcome: str) -> None:
        """Abort the TCP connection, so that the caller sees a reset rather than an end."""
        self.journal.finish(call, outcome)
        _abort(request)
        raise BrokenOffError

    async def models(self, request: web.Request) -> web.Response:
        """The list of models; a rule for it has `path: "/v1/models"` and may be slow, break off or fail."""
        _, rule = self.rules.match_path(request.path)
        if rule.delay_seconds:
            await asyncio.sleep(rule.delay_seconds)
        if rule.reset:
            _abort(request)
            return web.Response()  # nobody is there to read it
        refusal = self._refusal({}, rule)
        if refusal is not None:
            return refusal
        if rule.raw_body is not None:
            return web.Response(
                text=rule.raw_body, status=rule.status, content_type=rule.content_type, headers=rule.headers
            )
        data = [wire.model(name, shutdown_date) for name, shutdown_date in MODELS.items()]
        return web.json_response({"object": "list", "data": data})

    async def health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "pid": os.getpid()})

    async def add_rules(self, request: web.Request) -> web.Response:
        try:
            self.rules.add(parse_rules(await _json_of(request)))
        except RuleError as error:
            return _error(400, str(error), "invalid_rule")
        return web.json_response({})

    async def clear_rules(self, _request: web.Request) -> web.Response:
        self.rules.clear()
        return web.json_response({})

    async def release(self, request: web.Request) -> web.Response:
        body = await _json_of(request)
        return web.json_response({"released": self.rules.release(str(body["hold"]))})

    async def read_journal(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        return web.json_response({"calls": self.journal.calls(since, request.query.get("contains"))})


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        raw = request.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/_control/"):
        if request.remote not in LOOPBACK_ADDRESSES:
            return _error(403, "Control is for callers on this machine.", "permission_error")
    elif not request.headers.get("Authorization", "").removeprefix("Bearer").strip():
        message = "You didn't provide an API key."
        return _error(401, message, "invalid_request_error", "invalid_api_key")
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _error(error.status, error.reason, "invalid_request_error")


def _is_chat_request(body: Any) -> bool:
    messages = body.get("messages") if isinstance(body, dict) else None
    return (
        isinstance(messages, list)
        and all(isinstance(message, dict) for message in messages)
        and bool(messages and body.get("model"))
    )


def _reply(body: dict[str, Any], rule: Rule) -> wire.Reply:
    reply = wire.compose(
        body,
        f"chatcmpl-{uuid.uuid4().hex}",
        answer=rule.answer,
        refusal=rule.refusal,
        finish_reason=rule.finish_reason,
    )
    if not rule.keeps_usage:
        return replace(reply, usage=None)
    return replace(reply, usage=rule.usage) if rule.usage is not None else reply


def _headers(reply: wire.Reply, rule: Rule) -> dict[str, str]:
    return {"x-request-id": f"req_{reply.id.removeprefix('chatcmpl-')}", **(rule.headers or {})}


def _error(status: int, message: str, kind: str, code: str | None = None) -> web.Response:
    headers = {"x-request-id": f"req_{uuid.uuid4().hex}"}
    return web.json_response(wire.error_body(message, kind, code), status=status, headers=headers)


async def _json_of(request: web.Request) -> Any:
    try:
        return await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path)
    parser.add_argument(
        "--chunk-delay", type=float, default=0.0, help="seconds between the pieces of a stream that no rule decides"
    )
    options = parser.parse_args()
    web.run_app(
        Upstream(Journal(options.journal), options.chunk_delay).application(),
        host=options.host,
        port=options.port,
        # A caller that hangs up ends its call here too, as it does at OpenAI.
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
