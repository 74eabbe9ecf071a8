"""The addresses of a server in OpenAPI's words, for programs that make clients of them."""

from __future__ import annotations

from typing import Any

from shufflenet import __version__
from shufflenet.serve.settings import Settings

_PREDICTION = {
    "type": "object",
    "properties": {
        "source": {"type": "string"},
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "class_index": {"type": "integer"},
                    "label": {"type": "string"},
                    "probability": {"type": "number"},
                },
            },
        },
        "decode_ms": {"type": "number"},
        "preprocess_ms": {"type": "number"},
        "network_ms": {"type": "number"},
    },
}
_SCORES = {
    "type": "array",
    "items": {"type": "object", "properties": {"label": {"type": "string"}, "score": {"type": "number"}}},
}
_PROBABILITIES = {"type": "object", "additionalProperties": {"type": "number"}}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_BASE64 = {"type": "string", "format": "byte"}
_REFUSALS = {
    "400": "The body ends too early.",
    "408": "The body comes too slowly.",
    "413": "Too many bytes, pixels or pictures.",
    "415": "Not a picture in a format that can be read.",
    "422": "A damaged picture, or a body that is not what its type says.",
    "429": "Too many requests wait; try again after the seconds in Retry-After.",
}


def description(settings: Settings) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    name = settings.name
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"shufflenet: {name}", "version": __version__},
        "paths": {
            "/predict": {"post": _labelling("Labels, as `shufflenet predict --json` prints them.", _PREDICTION)},
            "/": {"post": _labelling("Labels in Hugging Face's form.", _SCORES)},
            f"/predictions/{name}": {
                method: _labelling("Labels in TorchServe's form.", _PROBABILITIES) for method in ("post", "put")
            },
            **{path: {"get": _told("Whether the server works.")} for path in ("/health", "/ready", "/ping")},
            "/v2/health/live": {"get": _told("Open Inference Protocol: the server lives.")},
            "/v2/health/ready": {"get": _told("Open Inference Protocol: the server is ready.")},
            "/v2": {"get": _told("Open Inference Protocol: what the server is.")},
            f"/v2/models/{name}": {"get": _told("Open Inference Protocol: what the model is.")},
            f"/v2/models/{name}/ready": {"get": _told("Open Inference Protocol: the model is ready.")},
            "/metrics": {"get": _told("Counters for Prometheus.")},
        },
    }
    if settings.token:
        document["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        document["security"] = [{"token": []}]
    return document


def _told(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": summary}}}


def _labelling(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    several = {"type": "array", "items": {"anyOf": [answer, _ERROR]}}
    properties = {
        "image": _BASE64,
        "images": {"type": "array", "items": _BASE64},
        "inputs": _BASE64,
        "top_k": {"type": "integer", "minimum": 1},
        "parameters": {"type": "object", "properties": {"top_k": {"type": "integer", "minimum": 1}}},
    }
    return {
        "summary": summary,
        "parameters": [{"name": "top_k", "in": "query", "schema": {"type": "integer", "minimum": 1}}],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {},
                "image/*": {},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "file": {
                                "type": "array",
                                "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                            }
                        },
                    }
                },
                "application/json": {"schema": {"type": "object", "properties": properties}},
            },
        },
        "responses": {
            "200": {
                "description": "Of one picture an object; of a form or of images a list, in the same order.",
                "content": {"application/json": {"schema": {"anyOf": [answer, several]}}},
            },
            **{
                status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
                for status, text in _REFUSALS.items()
            },
        },
    }
