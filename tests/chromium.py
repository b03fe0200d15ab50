"""Where Debian's chromium is, and how it is started so that it asks for nothing by itself."""

import shutil

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
