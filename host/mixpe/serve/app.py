# SPDX-License-Identifier: BSD-2-Clause
"""The routes: OpenAI's /v1, /health, /metrics, /stats and the page; keys, sizes, and clients that go away."""

import asyncio
import hmac
import json
import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mixpe.errors import MixpeError
from mixpe.serve.address import is_loopback
from mixpe.serve.ask import AskError, parse
from mixpe.serve.guard import LoopbackOnly, failed, unanswered
from mixpe.serve.replies import Reply, error_body, event
from mixpe.serve.sequence import Sequence

BODY_BYTES = 1 << 20  # largest request
POLL_S     = 0.25     # between two looks whether a client is still there
PAGE       = Path(__file__).with_name("page")
FILES      = {"/": ("index.html", "text/html"), "/app.js": ("app.js", "text/javascript"),
    "/style.css": ("style.css", "text/css")}
POLICY     = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


class Mailbox:
    """From the owner's thread to the event loop: a slow client holds nobody, since `put` never waits.

    It holds at most one entry a token.
    """

    def __init__(self):
        self._loop  = asyncio.get_running_loop()
        self._queue = asyncio.Queue()

    def put(self, kind, value):
        """Called by any thread."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (kind, value))
        except RuntimeError:  # the loop has ended, and the client with it
            pass

    async def get(self, limit_s=None):
        """The next entry; None after `limit_s`."""
        try:
            return await asyncio.wait_for(self._queue.get(), limit_s)
        except asyncio.TimeoutError:
            return None


class Service:
    """What the routes need.

    Parameters
    ----------
    model : LlamaModel
    name : str
        Under which it is served.
    owner : Owner
        Running.
    figures : Figures
    key : str or None
        That clients must give.
    facts : dict
        About device and model, for the page.
    """

    def __init__(self, model, name, owner, figures, key, facts):
        self.model, self.name, self.owner, self.figures = model, name, owner, figures
        self._key, self._facts = key, facts

    def routes(self):
        """Of Starlette. All but /health and the page's files ask for the key before they look at anything else."""
        return [
            Route("/v1/chat/completions", self._keyed(self.chat), methods=["POST"]),
            Route("/v1/completions", self._keyed(self.complete), methods=["POST"]),
            Route("/v1/models", self._keyed(self.models)),
            Route("/v1/models/{name:path}", self._keyed(self.one_model)),
            Route("/health", self.health),
            Route("/metrics", self._keyed(self.metrics)),
            Route("/stats", self._keyed(self.stats)),
            *[Route(path, self.page) for path in FILES],
        ]

    def _keyed(self, route):
        """A route that answers those alone who give the key."""
        async def answer(request):
            return self._refusal(request) or await route(request)
        return answer

    def _refusal(self, request):
        """What is wrong with a request's key, or None."""
        if self._key is None:
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._key.encode()):
            return None
        body = error_body("a key is needed: Authorization: Bearer …", code="invalid_api_key", status=401)
        return JSONResponse(body, 401)

    async def chat(self, request):
        return await self._answer(request, chat=True)

    async def complete(self, request):
        return await self._answer(request, chat=False)

    async def _answer(self, request, *, chat):
        mail = Mailbox()
        try:
            ask      = parse(await self._body(request), self.name, chat=chat)
            prompt   = await asyncio.to_thread(self._prompt, ask)  # a template may take seconds: others go on
            sequence = self._sequence(ask, prompt, mail)
            self.owner.submit(sequence)
        except AskError as error:
            self.figures.refused()
            return JSONResponse(error_body(str(error), param=error.param, code=error.code, status=error.status),
                error.status, {"Retry-After": "1"} if error.status == 429 else None)
        except MixpeError as error:
            self.figures.refused()
            return JSONResponse(error_body(str(error)), 400)
        reply = Reply(self.name, chat, sequence)
        if ask.stream:
            return StreamingResponse(self._pieces(request, sequence, mail, reply), media_type="text/event-stream",
                headers={"Cache-Control": "no-store"})
        return await self._whole(request, sequence, mail, reply)

    async def _body(self, request):
        """The JSON of a request's body."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                raise AskError(f"the body is larger than {BODY_BYTES} bytes", status=413)
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError):
            raise AskError("the body is no JSON") from None

    def _prompt(self, ask):
        """Tokens of a conversation or a text."""
        tokenizer = self.model.tokenizer
        if ask.messages is None:
            return tokenizer.encode(ask.prompt, parse_special=False)
        if tokenizer.chat is None:
            raise AskError(f"{self.name} has no chat template: use /v1/completions", "messages", "no_chat_template")
        return tokenizer.chat.encode(tokenizer, ask.messages)

    def _sequence(self, ask, prompt, mail):
        model, context = self.model, self.model.context
        if not prompt or len(prompt) > context:
            raise AskError(f"the prompt has {len(prompt)} tokens, and the context {context}",
                code="context_length_exceeded")
        seed = secrets.randbits(63) if ask.seed is None else ask.seed % (1 << 64)
        n    = min(ask.n, context + 1 - len(prompt))
        return Sequence(ask, list(prompt), n, model.tokenizer, model.config.vocab_size, seed, mail.put)

    async def _whole(self, request, sequence, mail, reply):
        text = []
        try:
            while True:
                entry = await mail.get(POLL_S)
                if entry is None:
                    if await request.is_disconnected():
                        return Response(status_code=499)
                    continue
                kind, value = entry
                if kind == "text":
                    text.append(value)
                elif kind == "end":
                    return JSONResponse(reply.whole("".join(text), value))
                else:
                    return JSONResponse(error_body(str(value), status=500), 500)
        finally:
            self.owner.cancel(sequence)  # nothing, once it has ended

    async def _pieces(self, request, sequence, mail, reply):
        try:
            yield reply.piece("", first=True)
            while True:
                entry = await mail.get(POLL_S)
                if entry is None:
                    if await request.is_disconnected():
                        return
                    continue
                kind, value = entry
                if kind == "text":
                    yield reply.piece(value)
                elif kind == "error":
                    yield event(error_body(str(value), status=500))
                    return
                else:
                    yield reply.piece(reason=value)
                    if sequence.ask.usage:
                        yield reply.usage()
                    yield b"data: [DONE]\n\n"
                    return
        finally:
            self.owner.cancel(sequence)

    def _entry(self):
        return {"id": self.name, "object": "model", "created": int(self.figures.begun), "owned_by": "mixpe"}

    async def models(self, _request):
        return JSONResponse({"object": "list", "data": [self._entry()]})

    async def one_model(self, request):
        if request.path_params["name"] != self.name:
            body = error_body(f"only {self.name!r} is served here", code="model_not_found", status=404)
            return JSONResponse(body, 404)
        return JSONResponse(self._entry())

    async def health(self, _request):
        alive = self.owner.is_alive()
        return JSONResponse({"status": "ok" if alive else "the model's thread has ended"}, 200 if alive else 503)

    async def metrics(self, _request):
        return PlainTextResponse(self.figures.prometheus(*self.owner.lengths()),
            media_type="text/plain; version=0.0.4")

    async def stats(self, _request):
        waiting, active = self.owner.lengths()
        return JSONResponse({"facts": self._facts, "waiting": waiting, "active": active, **self.figures.snapshot()},
            headers=POLICY)

    async def page(self, request):
        name, kind = FILES[request.url.path]
        return Response((PAGE/name).read_bytes(), media_type=kind, headers=POLICY)


def make_app(service, host):
    """The application, for an address to listen on."""
    return Starlette(routes=service.routes(), middleware=[Middleware(LoopbackOnly)] if is_loopback(host) else [],
        exception_handlers={HTTPException: unanswered, Exception: failed})
