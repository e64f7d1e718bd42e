"""The picture of the form in README and nbs/index.ipynb: python benchmarks/picture.py writes
docs/form.webp.

The served page in Chromium, an example typed in and answered; make it again when the form changes.
"""

import shutil
import sys
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from PIL import Image
from playwright.sync_api import sync_playwright
from support.browser import FLAGS, served
from test_form import filled, opened

SHOWN = {
    "x": 0,
    "y": 0,
    "width": 1280,
    "height": 908,
}  # of the page: the fields, the answer, its reasons and what if
MAX_BYTES = 200_000


def picture(url: str) -> Image.Image:
    "The page at `url` with an answer on it, as far as `SHOWN`."
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = opened(browser, url, color_scheme="light", device_scale_factor=1.5)
        filled(page)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)  # until bars stand still
        png = page.screenshot(full_page=True, clip=SHOWN)
        browser.close()
    return Image.open(BytesIO(png)).convert("RGB")


def main() -> None:
    with served() as url:
        image = picture(url)
    data = BytesIO()
    image.save(data, "webp", quality=80, method=6)
    size = len(data.getvalue())
    if size > MAX_BYTES:
        raise SystemExit(
            f"the picture has {size:,} bytes, more than {MAX_BYTES:,}; lower `quality`"
        )
    (ROOT / "docs" / "form.webp").write_bytes(data.getvalue())
    print(f"docs/form.webp: {image.width} x {image.height} pixels, {size:,} bytes")


if __name__ == "__main__":
    main()
