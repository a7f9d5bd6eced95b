"""The page that describes the API, with programs of our own files: it needs no internet."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from scopebook_api.headers import DOCS

router = APIRouter(include_in_schema=False)

#: FastAPI's own page loads its programs from a server elsewhere and starts them inline.
_PAGE: Final = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>The API of Scopebook</title>
    <link rel="icon" href="/icon.svg" type="image/svg+xml">
    <link rel="stylesheet" href="/api-docs/swagger-ui.css">
  </head>
  <body>
    <div id="description">
      <p>The schema is <a href="/api/openapi.json">openapi.json</a>; scripts of this page show it
      where the web app is built.</p>
    </div>
    <script src="/api-docs/swagger-ui-bundle.js"></script>
    <script src="/api-docs/start.js"></script>
  </body>
</html>
"""


@router.get(DOCS, response_class=HTMLResponse)
async def describe() -> str:
    """Show all routes, and let them be tried."""
    return _PAGE
