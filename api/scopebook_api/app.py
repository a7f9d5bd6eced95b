"""Build the FastAPI app: routers, errors, the built frontend."""

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Scope

from scopebook.db.sessions import MOST_CONNECTIONS, Sessions, sessions
from scopebook.embedding import query_embedder
from scopebook.log_setup import set_up_logs
from scopebook.search import EmbedQuery
from scopebook.settings import settings
from scopebook_api.bodies import SmallBodies
from scopebook_api.deps import PREFIX, acting
from scopebook_api.described import FOR_WHO_IS_KNOWN, Described
from scopebook_api.errors import add_error_answers
from scopebook_api.headers import SafeHeaders, page_policy
from scopebook_api.label_counts import LabelCounts
from scopebook_api.live import STREAMS_AT_ONCE, Live
from scopebook_api.metrics import Metrics
from scopebook_api.neuronpedia_schemas import messages
from scopebook_api.observing import Observed
from scopebook_api.provider import provider_of
from scopebook_api.rate_limits import RateLimits
from scopebook_api.readiness import Ready
from scopebook_api.routers import (
    accounts,
    annotations,
    audit,
    compare,
    corpora,
    description,
    drift,
    features,
    health,
    inspect,
    jobs,
    label_stream,
    labels,
    lists,
    live,
    logins,
    maps,
    metrics,
    neuronpedia_explanations,
    neuronpedia_features,
    neuronpedia_lists,
    neuronpedia_live,
    neuronpedia_steer,
    preset_jobs,
    presets,
    provider,
    queue,
    releases,
    reviews,
    runs,
    scans,
    scores,
    search,
    steer,
    tags,
    tokens,
    webhooks,
)
from scopebook_api.schemas import problems
from scopebook_api.streams import LONG_ANSWERS_AT_ONCE

#: Of a process's connections, those for requests; event streams have theirs (`live`), long
#: answers theirs (`streams`), and some are left for what answers errors.
REQUESTS_AT_ONCE = MOST_CONNECTIONS - STREAMS_AT_ONCE - LONG_ANSWERS_AT_ONCE - 2
STATIC = Path(__file__).parent / "static"


#: How often Python looks for rings of objects that nobody holds any more: after so many new ones,
#: and at older ones after so many looks. A feature's page makes thousands, none of them in rings;
#: by Python's own numbers (700, 10, 10) a sixth of its time and more went into looking.
_COLLECT = (100_000, 20, 50)


@asynccontextmanager
async def _served(_: FastAPI) -> AsyncIterator[None]:
    """While the app is served, look for garbage less often, and end with what started it."""
    before = gc.get_threshold()
    gc.set_threshold(*_COLLECT)
    if (parent := multiprocessing.parent_process()) is not None:
        # One of several: left alone it would hold the port, and answer beside the next start.
        loop = asyncio.get_running_loop()
        loop.add_reader(parent.sentinel, _end_with, loop, parent.sentinel)
    yield
    gc.set_threshold(*before)


def _end_with(loop: asyncio.AbstractEventLoop, parent: int) -> None:
    loop.remove_reader(parent)
    os.kill(os.getpid(), signal.SIGTERM)


class Frontend(StaticFiles):
    """The built pages; paths that are no file are the app's own routes."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer unknown pages with the app's shell."""
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or not _is_page(path, Request(scope).method):
                raise
            response = FileResponse(STATIC / "index.html")
        if path.startswith("_app/immutable/"):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        else:
            response.headers["Cache-Control"] = "no-cache"
        return response


class Served(Described):
    """The app with its headers on every answer, those to errors that nobody foresaw included."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the app with all that stands before it, the headers outermost."""
        return SafeHeaders(
            super().build_middleware_stack(), pages=page_policy(STATIC / "index.html")
        )


def _is_page(path: str, method: str) -> bool:
    """Tell whether an unknown path may be one of the app's pages: no file, and not the API's."""
    return method == "GET" and path.split("/")[0] != "api" and "." not in Path(path).name


def create_app(factory: Sessions | None = None, embed: EmbedQuery | None = None) -> FastAPI:
    """Return the app over a session factory; by default over the settings' database."""
    if factory is None:
        # This is how a server starts the app.
        set_up_logs()
    app = build_app()
    connect(app, factory or sessions(), embed)
    return app


def build_app() -> FastAPI:
    """Return the app with its routes, which is most of the work, and nothing behind them."""
    app = Served(
        title="Scopebook",
        summary="The feature dictionary of Qwen-Scope sparse autoencoders.",
        version=version("scopebook"),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_served,
    )
    # Leaves event streams alone: they must not wait for a full buffer.
    # The highest level takes three to six times as long for six percent less.
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=5)
    app.add_middleware(SmallBodies)
    # Around all others, so that it sees what they answer too.
    app.add_middleware(Observed)
    add_error_answers(app)
    add_routes(app)
    app.include_router(description.router)
    if (STATIC / "index.html").exists():
        app.mount("/", Frontend(directory=STATIC, html=True))
    return app


def connect(app: FastAPI, factory: Sessions, embed: EmbedQuery | None = None) -> None:
    """Give the app all that its answers rest on: database, embedder, limits, who knows people."""
    app.state.sessions = factory
    app.state.slots = asyncio.Semaphore(REQUESTS_AT_ONCE)
    app.state.long_answers = asyncio.Semaphore(LONG_ANSWERS_AT_ONCE)
    app.state.live = Live(factory)
    app.state.label_counts = LabelCounts()
    app.state.embed = embed or query_embedder(factory)
    app.state.metrics = Metrics(factory)
    app.state.ready = Ready(factory, settings())
    app.state.limits = RateLimits(settings())
    app.state.provider = provider_of(settings())


def add_routes(app: FastAPI) -> None:
    """Put every noun's routes under /api; all but those of `public` are for who is known."""
    api = APIRouter(prefix=PREFIX)
    for public in (health.public, logins.public, provider.public):
        api.include_router(public, responses=problems(401, 403, 429))
    # What people say of a feature comes before the feature, whose path takes all that follows.
    said = (annotations, live, reviews, queue, tags)
    nouns = (
        *(health, search, features, drift, label_stream, labels),
        *(lists, scores, maps),
        *(releases, corpora, jobs, runs, scans),
        *(presets, preset_jobs),
    )
    live_runs = (inspect, compare, steer)
    people = (accounts, tokens, webhooks, audit)
    for routes in (*said, *nouns, *live_runs, *people):
        include(api, routes.router, problems(401, 403, 429))
    for router in (
        neuronpedia_features.router,
        *(neuronpedia_explanations.router, neuronpedia_explanations.proposals),
        *(neuronpedia_lists.router, neuronpedia_lists.reading),
        *(neuronpedia_live.router, neuronpedia_steer.router),
    ):
        include(api, router, messages(400, 401, 403, 404, 409, 429, 503))
    app.include_router(api)
    app.include_router(metrics.router)


def include(api: APIRouter, router: APIRouter, refusals: dict[int | str, dict[str, Any]]) -> None:
    """Add routes for who is known."""
    known = [Depends(acting, scope="function"), Depends(FOR_WHO_IS_KNOWN)]
    api.include_router(router, dependencies=known, responses=refusals)
