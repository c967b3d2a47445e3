# SPDX-License-Identifier: BSD-2-Clause
"""What stands before the routes: for whom a request is, and errors that no route answers, in OpenAI's shape."""

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from mixpe.serve.address import is_loopback
from mixpe.serve.replies import error_body

_ADDRESSED = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@]+))(?::\d*)?", re.IGNORECASE)  # IPv6 in brackets, or a name


def _for_this_machine(addressed):
    """Whether the header Host is a loopback address or localhost, with any port."""
    found = _ADDRESSED.fullmatch(addressed)
    return found is not None and is_loopback((found[1] or found[2]).lower())


class LoopbackOnly:
    """Refuse requests that were not addressed to this machine's own name: a page elsewhere cannot reach it by DNS.

    Parameters
    ----------
    app : ASGI application
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        addressed = Headers(scope=scope).get("host", "") if scope["type"] == "http" else None
        if addressed is None or _for_this_machine(addressed):
            await self._app(scope, receive, send)
            return
        text = f"only this machine is served, as localhost or a loopback address, not {addressed!r}"
        await JSONResponse(error_body(text), 400)(scope, receive, send)


async def unanswered(request, error):
    """No route for it, or none for its method: an HTTPException of Starlette's."""
    if error.status_code == 405:
        text = f"{request.method} is not for {request.url.path}; {error.headers['Allow']} is"
    elif error.status_code == 404:
        text = f"there is no {request.url.path} here"
    else:
        text = error.detail
    return JSONResponse(error_body(text, status=error.status_code), error.status_code, error.headers)


async def failed(_request, error):
    """A fault of the server's own; its text may hold what is nobody's business, and goes to the log alone."""
    return JSONResponse(error_body(f"the server failed: {type(error).__name__}", status=500), 500)
