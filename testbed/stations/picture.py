"""A picture of the page, by a browser that watches it meanwhile."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.host import programs

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_SIZE = {"width": 1200, "height": 900}


@contextmanager
def watching(url: str) -> Iterator[Callable[[Path], bool]]:
    """Open the page in Chromium without a window, where it and Playwright are there.

    Yields:
        A function that writes a picture of the whole page as PNG; it returns False where there is no browser.
    """
    program = programs.find(CHROMIUM)
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ImportError:
        playwright = None
    if program is None or playwright is None:
        yield lambda _file: False
        return
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(program), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=_SIZE)
        page.goto(url)

        def take(file: Path) -> bool:
            page.screenshot(path=file, full_page=True)
            return True

        try:
            yield take
        finally:
            browser.close()
