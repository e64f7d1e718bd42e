"A snapshot in which every text is hostile to whoever shows it: markup, scripts, formulas, line ends, controls, great length."
import gzip
import json
from pathlib import Path
from zlib import crc32

from kickstarter_predictor.sample import snapshot_lines

TEXTS = [
    "<script>window.hacked = 1; alert(1)</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"><svg onload=alert(1)>' autofocus onfocus=alert(1) x='",
    "![p](http://evil.invalid/p.png) !\\[p](//evil.invalid/q.png)",
    "[l](javascript:alert(1)) <javascript:alert(1)> http://evil.invalid/ www.evil.invalid [r][evil]\n\n[evil]: javascript:alert(1)",
    "a | b\n| --- | --- |\n| c | d",
    "`a` ``` ~~~ **b** __c__ ~~d~~ \\`e\\",
    "$\\frac$ $x_{ \\$ $$\\begin{x}$$ \\(a\\)",
    "\n\n# Heading\n\n- list\n\n    code\n\n---\n\n> quote",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62; &amp;",
    "</details></body></html><!-- ]]> <![CDATA[ <plaintext>",
    "{{ 7 * 7 }} {% raw %} {results} %s %(x)s ${x}",
    "\u202eevil\u2028![s](http://evil.invalid/s.png)\x1b[31m\x85\x0b\x0c\r<iframe src=//evil.invalid>",
    "W" * 3000,
    "_leading ' OR 1=1; -- שלום 日本語 🎲",
    "<meta http-equiv=refresh content='0;url=http://evil.invalid/'><style>@import '//evil.invalid/x.css'</style><base href=//evil.invalid>",
]
NEEDED = {"country", "currency", "current_currency", "usd_pledged"}  # without which there is nothing to learn from


def hostile(value, key="", every=False):
    "`value` with something hostile after each text in it, the same after the same text; `every` text, or all but what the pipeline needs to know."
    if isinstance(value, dict):
        return {k: hostile(v, k, every) for k, v in value.items()}
    if not isinstance(value, str) or (not every and (key in NEEDED or value in ("successful", "failed", "live"))):
        return value
    if key == "slug" and "/" in value:  # of a category: parent/category
        return "/".join(hostile(part, key, every) for part in value.split("/"))
    return value + TEXTS[crc32(value.encode()) % len(TEXTS)]


def snapshot(folder: Path, n: int = 1500) -> Path:
    "A snapshot of `n` projects in `folder`, with a name that is hostile, too; every hundredth has nothing in it that is not."
    lines = []
    for i, line in enumerate(snapshot_lines(n, seed=3)):
        try:
            record = json.loads(line)
            record = hostile(record, every=i % 100 == 0) | {"run_id": f"Kickstarter_2024-0{5 + i % 3}-11 {TEXTS[i % 3]} {TEXTS[5 + i % 3]}"}
        except (json.JSONDecodeError, TypeError):
            continue
        lines.append(json.dumps(record))
    path = folder / "Kickstarter_2024-07-11 <img src=x onerror=alert(1)>|`a`![p](evil.invalid)$x$\n# b.json.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return path
