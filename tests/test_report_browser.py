"""Pages in a real headless browser: nothing overflows, images load, no complaint."""

import json
import re
import shutil
import subprocess

import pytest
import report_results
import sepsis_study_rows
import test_persim_page

from experiments.config import RunConfig
from experiments.iql_multitask import page as sepsis_page
from experiments.persim import page as persim_page
from experiments.report import comparison, page, results

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
WIDTHS = (320, 390, 768, 961, 1280)
OUTSIDE = "https://outside.invalid/picture.png"

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
  // What is folded away must fit as well.
  view.querySelectorAll("details").forEach(fold => { fold.open = true; });
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
    folds: view.querySelectorAll("details[open]").length,
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


def _several() -> str:
    """The page of several runs, one of them under a very long name."""
    kept = ("policies", "dataset", "config", "ablation", "reward_alignment")
    labels = ("folder_without_any_space_" * 8, "second", "elsewhere")
    members = [
        comparison.Member(
            label, one.run._replace(sections={k: one.run.get(k) for k in kept})
        )
        for label, one in zip(labels, report_results.members(), strict=True)
    ]
    return page.render_several(members)


def _study() -> str:
    """The page of a study that is no run."""
    made = persim_page.make(
        test_persim_page.CONFIG,
        test_persim_page.study_rows(),
        test_persim_page.factors(),
    )
    return page.render_study(made)


def _sepsis() -> str:
    """The page of the sepsis study, every method in it."""
    given = sepsis_study_rows.schema(), sepsis_study_rows.found()
    return page.render_study(sepsis_page.make(RunConfig(seeds=2), *given))


@pytest.fixture(scope="module")
def answer(tmp_path_factory) -> tuple[dict, list[str]]:
    """What was measured of each page, and the errors on the browser's console."""
    folder = tmp_path_factory.mktemp("browser")
    run = report_results.html()
    faulty = run.replace("<main>", '<main><p style="min-width:2000px">wide</p>', 1)
    faulty = faulty.replace('src="data:image/svg+xml;base64,', 'src="data:,', 1)
    outside = f'<main><img src="{OUTSIDE}" alt="" width="1" height="1">'
    faulty = faulty.replace("<main>", outside, 1)
    pages = {
        "run": run,
        "stress": page.render(results.check(_stress())),
        "several": _several(),
        "study": _study(),
        "sepsis": _sepsis(),
        "faulty": faulty,
    }
    code = json.dumps(pages).replace("<", "\\u003c")
    harness = folder / "harness.html"
    harness.write_text(_HARNESS % (code, list(WIDTHS)), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-background-networking "
        "--no-first-run --disable-component-update --disable-sync "
        "--disable-dev-shm-usage --window-size=1400,900 --virtual-time-budget=60000 "
        "--enable-logging=stderr"
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
        timeout=300,
        check=True,
    )
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text is not None, done.stderr[-2000:]
    measured = json.loads(text[1].replace("&lt;", "<").replace("&amp;", "&"))
    return measured, re.findall(r".*:CONSOLE.*", done.stderr)


@pytest.fixture
def found(answer) -> dict:
    return answer[0]


@pytest.mark.parametrize("name", ["run", "stress", "several", "study", "sepsis"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_and_every_image_loads(found, name, width):
    measured = found[f"{name} {width}"]
    assert measured["inner"] == width
    assert measured["scroll"] <= width
    assert measured["wide"] == []
    assert measured["images"] > 3
    assert measured["broken"] == 0
    assert measured["folds"] == {"several": 9, "study": 0, "sepsis": 0}.get(name, 2)


def test_console_stays_silent_but_for_the_page_that_asks_outside(answer):
    # The page's own policy forbids outside addresses; its refusal shows that the
    # console is heard at all.
    complaints = answer[1]
    assert len(complaints) >= len(WIDTHS)
    assert all(OUTSIDE in line for line in complaints)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_measurement_sees_faults(found, width):
    measured = found[f"faulty {width}"]
    assert measured["scroll"] > width
    assert measured["wide"][0] == "P: wide"
    assert measured["broken"] == 2
