"""The page in a real browser: nothing clipped, no request, no message on the console, names shown as text."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import NO_CHROMIUM, Browser, chromium, opened_browser
from plates import Plate, write_csv
from running import run

HOSTILE = (
    "<script>document.title = 'taken'</script>",
    "\"quotes\" 'and' `ticks` & ampersands",
    "</title></svg><img src=x onerror=document.title='taken'>",
    "🔬 plate {{ 7 * 7 }} {% raw %}",
    "x" * 200,
    "line\nend\x1b[31m\u202egnp",
)
needs_chromium = pytest.mark.skipif(not chromium(), reason=NO_CHROMIUM)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the page of two plates of 96 wells, with missing and lossy wells."""
    folder = tmp_path_factory.mktemp("page")
    plate = Plate(
        folders=192, cells=8, features=12, sites=1, wells=96, seed=20,
        missing_wells=("BR00117001/B07", "BR00117002/A01"), lossy_wells=("BR00117002/C03",),
    )  # fmt: skip
    run("flow", write_csv(plate, folder / "plates"), "-o", folder / "plates.parquet").done()
    run("report", folder / "plates.parquet", "-o", folder / "page.html").done()
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the page of an output in which every name is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        {"Metadata_Plate": name, "Metadata_Well": well, "Metadata_Site": name, "Metadata_control_type": name}
        | {f"Cells_AreaShape_{feature}": None for feature in HOSTILE}
        | {f"{name}_AreaShape_Area": 10.0}
        for name in HOSTILE
        for well in ("A01", "A02", name)
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    types = {name: pa.string() if name.startswith("Metadata_") else pa.float64() for name in names}
    table = pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})
    output = folder / f"{HOSTILE[0].replace('/', '')}.parquet"
    pq.write_table(table, output)
    run("report", output, "-o", folder / "page.html").done()
    return folder / "page.html"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Give a browser of its own."""
    with opened_browser(tmp_path / "home") as opened:
        yield opened


CLIPPED = """
[...document.querySelectorAll('body *')].filter(one => {
  const style = getComputedStyle(one)
  const hides = style.overflowX === 'hidden' || style.overflowX === 'clip' || style.textOverflow === 'ellipsis'
  return hides && one.scrollWidth > one.clientWidth + 1
}).map(one => one.outerHTML.slice(0, 100))
"""
OVERLAPPING = """
[...document.querySelectorAll('svg[role=img] g > text')].filter(text => {
  const inner = text.getBoundingClientRect(), outer = text.parentNode.querySelector('rect').getBoundingClientRect()
  return inner.width > outer.width + 1 || inner.height > outer.height + 4
}).map(text => text.textContent)
"""
BEYOND = """
[...document.querySelectorAll('h1, h2, h3, p, dt, dd, li, figcaption, summary, pre')].filter(one => {
  const place = one.getBoundingClientRect()
  return place.width && (place.right > innerWidth + 1 || place.left < -1)
}).map(one => one.textContent.slice(0, 60))
"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_nothing_is_clipped_or_asked_of_the_network(
    which: str, width: int, scheme: str, request: pytest.FixtureRequest, browser: Browser, tmp_path: Path
) -> None:
    page: Path = request.getfixturevalue(which)
    browser.open(page, width=width, scheme=scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CLIPPED) == []
    assert browser.evaluate(BEYOND) == []
    assert browser.evaluate(OVERLAPPING) == []
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert [url for url in browser.requests if not url.startswith(("file:///", "data:"))] == []
    assert [url for url in browser.requests if url.startswith("file:///")] == [page.as_uri()]
    assert browser.console == []


@needs_chromium
def test_every_picture_has_a_name(page: Path, browser: Browser) -> None:
    browser.open(page, width=1280)
    names = browser.pictures()
    assert len(names) >= 8 + 5
    assert all(names)
    assert "Cells per well, plate BR00117001: 95 wells" in " ".join(names)
    assert browser.evaluate("[...document.querySelectorAll('svg:not([role=img]):not([aria-hidden])')].length") == 0


@needs_chromium
def test_hostile_names_are_shown_as_text(hostile_page: Path, browser: Browser) -> None:
    browser.open(hostile_page, width=1280)
    assert "taken" not in browser.evaluate("document.title").replace("document.title = 'taken'", "")
    assert browser.evaluate("document.querySelectorAll('script, img').length") == 0
    text = browser.evaluate("document.body.innerText")
    for name in HOSTILE[:4]:
        assert name in text
    assert "x" * 200 in text.replace("\n", "")
    assert "line\\nend\\x1b[31m" in text
    assert "49" not in browser.evaluate("document.querySelector('#plates').innerText").split("plate {{")[1][:20]


class Elements(HTMLParser):
    """Collects the elements of a page and what they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "xlink:href")]


@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_the_page_needs_nothing_else(which: str, request: pytest.FixtureRequest) -> None:
    page: Path = request.getfixturevalue(which)
    elements = Elements()
    elements.feed(page.read_text())
    assert not elements.tags & {"script", "iframe", "object", "embed", "img", "video", "audio", "form"}
    assert all(value.startswith("#") or value == "data:," for value in elements.loaded)
    assert "@import" not in page.read_text()


def test_a_page_of_384_wells_is_small(tmp_path: Path) -> None:
    wells = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    areas = {f"{table}_AreaShape_Area": [float(place) for place in range(384)] for table in ("Cells", "Nuclei")}
    features = {f"Cells_Texture_Contrast_DNA_{number}_00_256": [None] * 384 for number in range(1800)}
    columns = {"Metadata_Plate": ["P"] * 384, "Metadata_Well": wells, **areas}
    table = pa.table(columns | {name: pa.array(values, pa.float64()) for name, values in features.items()})
    pq.write_table(table, tmp_path / "plate.parquet")
    run("report", tmp_path / "plate.parquet", "-o", tmp_path / "page.html").done()
    assert (tmp_path / "page.html").stat().st_size < 2_000_000
