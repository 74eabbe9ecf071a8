"""Chromium without a window, driven through Selenium."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver import Chrome, ChromeOptions

_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")


class NoBrowserError(ValueError):
    """There is no browser, or nothing to drive it by; the message says what to install."""


@contextmanager
def chromium(
    *arguments: str, configure: Callable[[ChromeOptions], None] = lambda _: None, seconds: float = 60
) -> Iterator[Chrome]:
    """A browser that is ended afterwards.

    Args:
        arguments: of its command line, beside the usual ones.
        configure: changes its other options.
        seconds: how long a script may take.

    Raises:
        NoBrowserError: Selenium, Chromium or its driver is missing.
    """
    if importlib.util.find_spec("selenium") is None:
        raise NoBrowserError("a browser is driven by Selenium: pip install selenium")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        raise NoBrowserError("no chromium or no chromedriver; Debian has them as chromium and chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (*_ARGUMENTS, *arguments):
        options.add_argument(argument)
    configure(options)
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        chrome.set_script_timeout(seconds)
        yield chrome
    finally:
        chrome.quit()
