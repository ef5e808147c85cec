"""Serves the review page on 127.0.0.1 until it is interrupted."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from datakit.core.errors import DatakitError
from datakit.core.require import require
from datakit.labelling.review.app import Desk, review_app

__all__ = ["serve"]


def serve(desk: Desk, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Serves until a signal ends the process.

    Args:
        desk: What is judged.
        port: 0 for any that is free.
        ready: Called with the address as soon as it answers.

    Raises:
        DatakitError: The port is taken.
    """
    uvicorn = require("uvicorn", extra="label")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise DatakitError(
            f"port {port} cannot be used ({error.strerror})", hint="Leave --port out for a free one"
        ) from None
    token, number = secrets.token_urlsafe(24), int(listener.getsockname()[1])
    app = review_app(desk, token=token, port=number)
    # The access log would write the token.
    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, lifespan="off")
    server = uvicorn.Server(config)

    async def run() -> None:
        listener.listen(64)
        ready(f"http://127.0.0.1:{number}/{token}/")
        await server.serve(sockets=[listener])

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return
    finally:
        listener.close()
