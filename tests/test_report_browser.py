"""The page in a real headless browser: nothing overflows, every image loads."""

import json
import re
import shutil
import subprocess

import pytest
import report_results

from experiments.report import page, results

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
WIDTHS = (320, 390, 768, 961, 1280)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium found: the page was not seen in a browser"
)

# Each page is put unchanged into a frame of the given width (its own content policy
# holds there) and measured from outside.
_HARNESS = """<!DOCTYPE html><meta charset="utf-8"><body>
<script type="application/json" id="pages">%s</script><pre id="found">none</pre>
<script>
const pages = JSON.parse(document.getElementById("pages").textContent);
function show(html, width) {
  return new Promise(resolve => {
    const frame = document.createElement("iframe");
    frame.style = `border:0;width:${width}px;height:800px`;
    frame.onload = () => resolve(frame);
    frame.srcdoc = html;
    document.body.append(frame);
  });
}
function measure(frame, width) {
  const view = frame.contentDocument;
  const wide = [...view.body.querySelectorAll("*")].filter(element => {
    const box = element.getBoundingClientRect();
    return element.tagName !== "THEAD" && !element.closest("thead") ?
      box.right > width + 0.5 || box.left < -0.5 : false;
  });
  const images = [...view.images];
  return {
    scroll: view.documentElement.scrollWidth,
    inner: frame.contentWindow.innerWidth,
    wide: wide.map(e => e.tagName + ": " + e.textContent.slice(0, 40)),
    images: images.length,
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).length,
  };
}
(async () => {
  const found = {};
  for (const [name, html] of Object.entries(pages)) {
    for (const width of %s) {
      const frame = await show(html, width);
      found[name + " " + width] = measure(frame, width);
      frame.remove();
    }
  }
  document.getElementById("pages").remove();
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script>"""


def _stress() -> dict:
    """A document with long words, many policies and many columns."""
    document = report_results.build("records")
    long = "a_very_long_name_without_any_space_" * 6
    document["title"] = long
    document["commands"] = [f"python -m experiments.omg_rl --dataset=/{long}"]
    document["config"][long] = long
    document["dataset"]["hash"] = "0123456789abcdef" * 8
    document["dataset"]["state_features"] = [f"feature_{n}" for n in range(40)]
    document["cohort_flow"][0]["rule"] = long
    for row in document["policies"]:
        row |= {f"another_measure_{n}": 0.123 for n in range(6)}
    document["table1"][0] |= {"variable": long, "train": long}
    for name in ("examples", "learning", "dose_heatmap", "reward_curve"):
        document[name] = None
    return document


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("browser")
    run = report_results.html()
    faulty = run.replace("<main>", '<main><p style="min-width:2000px">wide</p>', 1)
    faulty = faulty.replace('src="data:image/svg+xml;base64,', 'src="data:,', 1)
    pages = {
        "run": run,
        "stress": page.render(results.check(_stress())),
        "faulty": faulty,
    }
    code = json.dumps(pages).replace("<", "\\u003c")
    harness = folder / "harness.html"
    harness.write_text(_HARNESS % (code, list(WIDTHS)), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-background-networking "
        "--no-first-run --disable-component-update --disable-sync "
        "--disable-dev-shm-usage --window-size=1400,900 --virtual-time-budget=60000"
    )
    done = subprocess.run(
        [
            str(BROWSER),
            *flags.split(),
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            harness.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answer = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer is not None, done.stderr[-2000:]
    return json.loads(answer[1].replace("&lt;", "<").replace("&amp;", "&"))


@pytest.mark.parametrize("name", ["run", "stress"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_every_image_loads(found, name, width):
    measured = found[f"{name} {width}"]
    assert measured["inner"] == width
    assert measured["scroll"] <= width
    assert measured["wide"] == []
    assert measured["images"] > 3
    assert measured["broken"] == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_measurement_sees_faults(found, width):
    measured = found[f"faulty {width}"]
    assert measured["scroll"] > width
    assert measured["wide"][0] == "P: wide"
    assert measured["broken"] == 1
