"""The addresses of a server: our own, and those that users of other servers know."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from shufflenet import __version__, model_file
from shufflenet.classifier import Classifier
from shufflenet.pictures.images import ImageError
from shufflenet.serve import answers
from shufflenet.serve.bodies import Bodies, Pictures, checked_top_k, pictures_in
from shufflenet.serve.crew import Crew
from shufflenet.serve.metrics import CONTENT_TYPE, Metrics
from shufflenet.serve.openapi import description
from shufflenet.serve.refusal import Refusal, refusal_of
from shufflenet.serve.settings import Settings

# Addresses that need no token: whoever looks after the process has none.
_OPEN = frozenset(("/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready"))
_RETRY_AFTER_S = "1"


class Application:
    """An ASGI application, which loads its model when it is first called: in the process that serves."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            self._app = _Addresses(self._settings).application()
        await self._app(scope, receive, send)


class _Addresses:
    """What is answered at each address, by one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        classifier = Classifier(settings.model)
        self._hash = model_file.digest(classifier.model)
        self._classes = len(classifier.labels)
        self._crew = Crew(classifier, settings.threads, settings.waiting, settings.max_pixels)
        self._bodies = Bodies(settings.max_bytes)
        self._metrics = Metrics()

    def application(self) -> ASGIApp:
        """All routes, behind the token if there is one."""
        page = self._settings.page
        routes: list[BaseRoute] = [
            Route("/predict", self._labelling("/predict", answers.document), methods=["POST"]),
            Route("/", self._labelling("/", answers.hugging_face), methods=["POST"]),
            Route(
                "/predictions/{model}",
                self._labelling("/predictions", answers.torchserve),
                methods=["POST", "PUT"],
            ),
            *(Route(path, self._healthy) for path in ("/health", "/ready", "/ping")),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._live),
            Route("/v2", self._server),
            Route("/v2/models/{model}", self._model),
            Route("/v2/models/{model}/ready", self._model_ready),
            Route("/metrics", self._metrics_text),
            Route("/openapi.json", self._openapi),
            Route("/", self._to_description) if page is None else Mount("/", StaticFiles(directory=page, html=True)),
        ]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _not_found})
        return _Token(app, self._settings.token) if self._settings.token else app

    def _labelling(self, route: str, form: answers.Form) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of ``route``, which answers with the labels of the request's pictures in ``form``."""
        metrics, seconds = self._metrics, self._metrics.seconds.labels(route)

        async def endpoint(request: Request) -> Response:
            began = perf_counter()
            metrics.in_progress.inc()
            try:
                response = await self._labels(request, form)
            except Refusal as refusal:
                response = _error(refusal.status, refusal.reason)
            finally:
                metrics.in_progress.dec()
            metrics.requests.labels(route, str(response.status_code)).inc()
            seconds.observe(perf_counter() - began)
            return response

        return endpoint

    async def _labels(self, request: Request, form: answers.Form) -> Response:
        self._check_model(request)
        self._crew.check_room()  # before the body comes
        with self._bodies.counted() as pieces:
            asked = await pictures_in(request, await self._bodies.read(request, pieces))
            top_k = checked_top_k(request.query_params.get("top_k")) or asked.top_k or self._settings.top_k
            results = await self._crew.classify(asked.pictures, top_k)
        unreadable = sum(isinstance(result, ImageError) for result in results)
        if unreadable:
            self._metrics.pictures.labels("error").inc(unreadable)
        self._metrics.pictures.labels("labelled").inc(len(results) - unreadable)
        if not asked.several:
            (result,) = results
            if isinstance(result, ImageError):
                raise refusal_of(result)
            return JSONResponse(form(result))
        return JSONResponse(
            [
                _unreadable(asked, place, result) if isinstance(result, ImageError) else form(result)
                for place, result in enumerate(results)
            ]
        )

    def _check_model(self, request: Request) -> None:
        """Raises Refusal, 404: the address names another model."""
        if (model := request.path_params.get("model")) is not None and model != self._settings.name:
            raise Refusal(404, f"no such model; here is {self._settings.name}")

    async def _healthy(self, request: Request) -> Response:
        return JSONResponse({"status": "Healthy"})

    async def _live(self, request: Request) -> Response:
        return Response()

    async def _server(self, request: Request) -> Response:
        return JSONResponse({"name": "shufflenet", "version": __version__, "extensions": []})

    async def _model(self, request: Request) -> Response:
        try:
            self._check_model(request)
        except Refusal as refusal:
            return _error(refusal.status, refusal.reason)
        return JSONResponse(
            {
                "name": self._settings.name,
                "versions": [self._hash],
                "platform": "shufflenet",
                "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1]}],
                "outputs": [{"name": "probabilities", "datatype": "FP64", "shape": [self._classes]}],
            }
        )

    async def _model_ready(self, request: Request) -> Response:
        try:
            self._check_model(request)
        except Refusal as refusal:
            return _error(refusal.status, refusal.reason)
        return JSONResponse({"name": self._settings.name, "ready": True})

    async def _metrics_text(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(description(self._settings))

    async def _to_description(self, request: Request) -> Response:
        return RedirectResponse("/openapi.json")


class _Token:
    """Lets requests through that bring the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                answer = _error(401, "a token is needed: Authorization: Bearer TOKEN")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _unreadable(asked: Pictures, place: int, error: ImageError) -> dict[str, Any]:
    return {"source": asked.pictures[place].name, "error": refusal_of(error).reason}


def _error(status: int, reason: str) -> Response:
    headers = {429: {"retry-after": _RETRY_AFTER_S}, 401: {"www-authenticate": "Bearer"}}.get(status)
    return JSONResponse({"error": reason}, status, headers)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    answer = _error(error.status_code, error.detail)
    answer.headers.update(error.headers or {})
    return answer
