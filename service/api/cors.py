"""Which pages of other origins may call the API: those of `ALLOWED_ORIGINS`, as the WebSocket admits them too.

Nothing here depends on cookies, so a page gets no further than the token that it brings.
"""

from flask import Flask
from flask_cors import CORS

# What a script may read of an answer, beside its body.
READABLE = (
    "Location",
    "Preference-Applied",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Job-Id",
    "X-Request-Id",
)
# How long a browser may remember that it may.
REMEMBERED_SECONDS = 600


def install(app: Flask, origins: frozenset[str]) -> None:
    if origins:
        CORS(
            app, origins=sorted(origins), expose_headers=list(READABLE), max_age=REMEMBERED_SECONDS, send_wildcard=True
        )
