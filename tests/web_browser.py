"""A browser for the tests of the web page, and a server for its files."""

from __future__ import annotations

import functools
import http.server
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shufflenet.bench.web.chromium import NoBrowserError, chromium
from shufflenet.bench.web.server import answering

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, ChromeOptions


@contextmanager
def browser(*arguments: str, traced: bool = False) -> Iterator[Chrome]:
    """Chromium without a window, traced for `tasks` or not; the test is skipped where there is none."""

    def configure(options: ChromeOptions) -> None:
        logs = {"browser": "ALL"}
        if traced:
            logs["performance"] = "ALL"
            preferences = {"enableNetwork": False, "enablePage": False, "traceCategories": "toplevel"}
            options.add_experimental_option("perfLoggingPrefs", preferences)
        options.set_capability("goog:loggingPrefs", logs)

    with ExitStack() as stack:
        try:
            chrome = stack.enter_context(chromium(*arguments, configure=configure))
        except NoBrowserError as lack:
            pytest.skip(str(lack))
        yield chrome


class _Files(http.server.SimpleHTTPRequestHandler):
    """Quiet, and without anything kept by the browser from an earlier answer."""

    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


def server(folder: Path) -> AbstractContextManager[str]:
    """Serves a folder; gives its address."""
    return answering(functools.partial(_Files, directory=str(folder)))


def tasks(chrome: Chrome) -> list[float]:
    """The processor times, in milliseconds, of the tasks of the pages' own threads since the last call."""
    events: list[dict[str, Any]] = []
    for _ in range(3):  # what is noted comes late into the log
        log = chrome.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in log]
        events += [message["params"] for message in messages if message["method"] == "Tracing.dataCollected"]
    named = [event for event in events if event["name"] == "thread_name"]
    pages = {(event["pid"], event["tid"]) for event in named if event["args"]["name"] == "CrRendererMain"}
    runs = [event for event in events if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in pages]
    return [event.get("tdur", 0) / 1000 for event in runs]
