# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium for the pages' tests and pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from demo.airflow_api import PATIENCE_SECONDS, wait_until

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def missing() -> str:
    """Return what of Chromium is not installed; empty when all is there."""
    return ", ".join(name for name in ("chromium", "chromedriver") if shutil.which(name) is None)


@contextmanager
def browser(*, width: int = 1400, height: int = 900) -> Iterator[Browser]:
    """Run a browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*_FLAGS, f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """One window and what a person does in it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Go to an address."""
        self.driver.switch_to.default_content()
        self.driver.get(url)

    def sign_in(self, url: str, username: str, password: str) -> None:
        """Sign in to an Airflow by its own form."""
        self.open(f"{url}/auth/login/")
        self.one("input[name=username]").send_keys(username)
        self.one("input[name=password]").send_keys(password)
        self.one("button[type=submit]").click()
        wait_until(lambda: "/auth/login" not in self.driver.current_url, lambda: "not signed in")

    def prefer(self, *, theme: str = "light", language: str = "en") -> None:
        """Choose theme and language, as Airflow's own menu does; pages opened from now on show them."""
        chosen = json.dumps({"theme": theme, "i18nextLng": language})
        self.script(f"Object.entries({chosen}).forEach(([key, value]) => localStorage.setItem(key, value))")

    def into_frame(self, part: str) -> None:
        """Go into the frame whose address contains ``part``."""
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame(self.one(f"iframe[src*='{part}']"))

    def out_of_frame(self) -> None:
        """Go back to Airflow's own page."""
        self.driver.switch_to.default_content()

    def one(self, css: str, *, text: str = "", seconds: float = PATIENCE_SECONDS) -> WebElement:
        """Wait for an element that is shown, and holds this text."""

        def look() -> WebElement | None:
            try:
                found = self.driver.find_elements(By.CSS_SELECTOR, css)
                return next((one for one in found if one.is_displayed() and text in one.text), None)
            except WebDriverException:
                return None  # it was drawn anew meanwhile

        return wait_until(look, lambda: f"no {css} {text!r} in: {self.text()[:2000]}", seconds=seconds)

    def click(self, css: str, *, text: str = "") -> None:
        """Wait for an element as ``one`` does, and click it, anew if it is drawn anew meanwhile."""

        def clicked() -> bool:
            with suppress(StaleElementReferenceException):
                self.one(css, text=text).click()
                return True
            return False

        wait_until(clicked, lambda: f"{css} {text!r} is drawn anew all the time")

    def all(self, css: str) -> list[WebElement]:
        """Return the elements there are."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self) -> str:
        """Return what can be read."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def script(self, code: str) -> Any:
        """Run a script in the page and return what it returns."""
        return self.driver.execute_script(code)

    def wait(self, look: Any, what: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until there is something to see; what is drawn anew meanwhile is looked at again."""

        def seen() -> Any:
            with suppress(StaleElementReferenceException):
                return look()
            return None

        return wait_until(seen, lambda: f"{what}; there is: {self.text()[:2000]}", seconds=seconds)

    def picture(self, path: Path) -> None:
        """Save what is shown."""
        self.driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """Return the errors in the console so far, refused loads and policy violations included."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [str(one["message"]) for one in log if one["level"] == "SEVERE"]
