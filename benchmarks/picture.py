"""The picture of the form in README and nbs/index.ipynb: python benchmarks/picture.py writes docs/form.webp.

The served page in Chromium, an example typed in and answered; make it again when the form changes."""
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

MAX_BYTES = 200_000


def picture(url: str) -> Image.Image:
    "The page at `url`, whole, with an answer on it."
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = opened(browser, url, color_scheme="light", device_scale_factor=1.5)
        filled(page)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)  # until bars stand still
        png = page.screenshot(full_page=True)
        browser.close()
    return Image.open(BytesIO(png)).convert("RGB")


def main() -> None:
    with served() as url:
        image = picture(url)
    path = ROOT / "docs" / "form.webp"
    image.save(path, quality=82, method=6)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SystemExit(f"{path.name}: {size:,} bytes are more than {MAX_BYTES:,}; lower `quality`")
    print(f"docs/{path.name}: {image.width} x {image.height} pixels, {size:,} bytes")


if __name__ == "__main__":
    main()
