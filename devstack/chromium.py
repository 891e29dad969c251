"""Which Chromium there is on this machine: the browser tests and the screenshots drive it."""

import shutil

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    return next((found for name in EXECUTABLES if (found := shutil.which(name))), None)
