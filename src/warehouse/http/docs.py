"""Swagger UI at /docs and ReDoc at /redoc, out of files in the package: no page asks another host for anything."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

STATIC = Path(__file__).with_name("static")
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".txt": "text/plain"}

_START_SWAGGER = """
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""

_SWAGGER = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Warehouse API</title>
<link rel="stylesheet" href="static/swagger-ui-5.35.0/swagger-ui.css">
<link rel="icon" type="image/png" href="static/swagger-ui-5.35.0/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="static/swagger-ui-5.35.0/swagger-ui-bundle.js"></script>
<script>{_START_SWAGGER}</script>
</body>
</html>
"""

_REDOC = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Warehouse API</title>
<link rel="icon" type="image/png" href="static/swagger-ui-5.35.0/favicon-32x32.png">
</head>
<body style="margin: 0">
<redoc spec-url="openapi.json"></redoc>
<script src="static/redoc-2.5.4/redoc.standalone.js"></script>
</body>
</html>
"""

_START_HASH = base64.b64encode(hashlib.sha256(_START_SWAGGER.encode()).digest()).decode()

_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_START_HASH}'",
        # Both pages write style elements as they run.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        # ReDoc searches in a worker that it makes of its own text.
        "worker-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def install_docs(app: FastAPI) -> None:
    """Every address in the pages is relative, so they also work under a proxy's prefix."""
    app.add_route("/", _home, include_in_schema=False)
    app.add_route("/docs", _swagger, include_in_schema=False)
    app.add_route("/redoc", _redoc, include_in_schema=False)
    app.add_route("/static/{name:path}", _asset, include_in_schema=False)


async def _home(request: Request) -> Response:
    return RedirectResponse("docs")


async def _swagger(request: Request) -> Response:
    return _page(_SWAGGER)


async def _redoc(request: Request) -> Response:
    return _page(_REDOC)


def _page(html: str) -> Response:
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _names():
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(_content(name), headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])


@cache
def _names() -> frozenset[str]:
    """What may be asked for; nothing else in the file system can be reached."""
    return frozenset(file.relative_to(STATIC).as_posix() for file in STATIC.glob("*/*") if file.suffix in MEDIA_TYPES)


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()
