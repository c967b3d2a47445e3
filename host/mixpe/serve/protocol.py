# SPDX-License-Identifier: BSD-2-Clause
"""HTTP/1.1 of uvicorn, of which what no route sees, a request that is none and one too many, is OpenAI's shape too."""

import json

import h11
from starlette.responses import JSONResponse
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from mixpe.serve.replies import error_body

CONNECTIONS_MAX = 256  # beyond which requests are refused


class Protocol(H11Protocol):
    """One connection.

    Parameters
    ----------
    as of H11Protocol
    """

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self._routes, self.app = self.app, self._within_the_limit

    async def _within_the_limit(self, scope, receive, send):
        if len(self.connections) <= CONNECTIONS_MAX:
            await self._routes(scope, receive, send)
            return
        text = f"{CONNECTIONS_MAX} connections are open already; close some, or try again later"
        body = error_body(text, code="too_many_connections", status=503)
        await JSONResponse(body, 503, {"Retry-After": "1", "Connection": "close"})(scope, receive, send)

    def send_400_response(self, msg):
        """Say that what came is no request, and close."""
        body    = json.dumps(error_body(msg)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)),
            (b"connection", b"close")]
        for part in (h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(data=body),
                h11.EndOfMessage()):
            self.transport.write(self.conn.send(part))
        self.transport.close()


def config_of(app, *, log_level="warning", end_s=5):
    """How uvicorn serves an application; what is under way when it is to end has `end_s` seconds."""
    return Config(app, http=Protocol, ws="none", log_level=log_level, timeout_keep_alive=30,
        timeout_graceful_shutdown=end_s)
