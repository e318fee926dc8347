"""The HTML report in a real browser."""

import numpy as np
import pytest

from dmgammapy.analysis._report_content import build_report
from dmgammapy.analysis.report import Report, ReportTable, Section, write_report

from .browser_helpers import Browser, Page, find_browser
from .report_helpers import inputs, many_values

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on the PATH")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as process:
        yield process


@pytest.fixture
def write(tmp_path):
    def function(report):
        path = tmp_path / "report.html"
        write_report(report, path, overwrite=True)
        return path

    return function


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_browser_draws_everything(write, browser, width, dark):
    page = Page(browser, write(many_values()), width, 800, dark)
    drawn = page.run(
        "Promise.all([...document.querySelectorAll('figure img')].map(i => i.decode()"
        ".then(() => [i.naturalWidth, i.naturalHeight])))"
    )
    assert drawn[:4] == [[600, 400], [610, 400], [620, 400], [630, 400]]
    assert drawn[4] == [96, 48]
    seen = "[...document.querySelectorAll('figure')].filter(f => f.offsetWidth).length"
    assert page.run(seen) == 3  # one of each group and one that is alone
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("window.hacked") is None
    assert page.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(21, 24, 28)" if dark else "rgb(255, 255, 255)"
    )
    assert page.problems == []
    page.close()


def test_browser_sorts_filters_and_shows_all(write, browser):
    page = Page(browser, write(many_values()), 1280, 800)

    def column(k):
        return page.run(
            f"[...document.querySelectorAll('tbody tr')].map(r => r.children[{k}].textContent)"
        )

    def head(k):
        return f"thead th:nth-child({k}) button"

    masses = np.geomspace(1, 1e6, 120)
    assert len(column(0)) == 50
    page.click(head(2))
    assert page.run("document.querySelector('thead th:nth-child(2)').ariaSort") == "ascending"
    assert column(0)[:3] == ["target 0", "target 1", "target 2"]
    assert column(1)[0] == "1"
    page.click(head(2))
    assert column(0)[0] == "target 119"
    assert column(1)[0] == "1.00\u2009×\u2009106"
    page.click(head(3))  # with exponents; the row without a value comes last, both ways
    assert column(0)[:2] == ["target 0", "target 1"]
    assert "target 7" not in column(0)
    page.run(f"document.querySelector('{head(1)}').focus()")
    page.press("Enter", 13, "\r")  # the keyboard does it too, and 10 comes after 9
    assert column(0)[:11][-2:] == ["target 9", "target 10"]
    page.click(".more button")
    assert len(column(0)) == len(masses)
    page.click(head(3))
    page.click(head(3))
    assert column(0)[0] == "target 119"
    assert (column(0)[-1], column(2)[-1]) == ("target 7", "–")
    page.click(head(4))
    assert column(3)[:60] == ["found"] * 60
    page.run("document.querySelector('input[type=search]').focus()")
    for letter in "edge et 11":
        page.press(letter, 0, letter)
    kept = [" ".join(cells) for cells in zip(*map(column, range(4)), strict=True)]
    assert kept
    assert all("11" in text and "grid edge" in text for text in kept)
    assert page.run("document.querySelector('.count').textContent") == f"{len(kept)} of 120 rows"
    page.run("document.querySelector('input[type=search]').select()")
    for letter in "nothing like this":
        page.press(letter, 0, letter)
    assert column(0) == []
    assert page.run("document.querySelector('.count').textContent") == "0 of 120 rows"
    assert page.problems == []
    page.close()


def test_browser_draws_thousands_of_rows_on_the_way(write, browser):
    rows = [[f"target {k}", float(k)] for k in range(1234)]
    table = ReportTable("T", ["target", "ts"], rows)
    page = Page(browser, write(Report("R", sections=[Section("S", tables=[table])])), 360, 800)
    page.click(".more button")
    n_rows = "document.querySelectorAll('tbody tr').length"
    assert page.run("document.querySelector('.count').textContent") == (
        "500 of 1234 rows, more as you scroll"
    )
    for _ in range(3):
        page.run(
            "new Promise(done => { const s = document.querySelector('.scroll');"
            "s.scrollTop = s.scrollHeight; requestAnimationFrame(() => setTimeout(done, 50)) })"
        )
    assert page.run(n_rows) == 1234
    assert page.run("document.querySelector('.count').textContent") == "1234 rows"
    assert (
        page.run("document.querySelector('tbody tr:last-child').textContent") == "target 12331233"
    )
    assert page.problems == []
    page.close()


def test_browser_changes_figures(write, browser):
    page = Page(browser, write(many_values()), 1280, 800)

    def shown():
        return page.run(
            "[...document.querySelectorAll('#limits figure')].filter(f => f.offsetWidth)"
            ".map(f => f.querySelector('img').alt).join()"
        )

    assert shown() == "one b"
    page.click("#limits label:has(input[value=tau])")
    assert shown() == "one tau"
    other = "[...document.querySelectorAll('#second figure')].filter(f => f.offsetWidth)"
    assert page.run(f"{other}.map(f => f.querySelector('img').alt).join()") == "vector,one tau"
    page.click("#limits label:has(input[value=two])")  # has no tau
    assert shown() == "two b"
    checked = "[...document.querySelectorAll('#limits input:checked')].map(i => i.value).join()"
    assert page.run(checked) == "two,b"
    page.click("#limits figure.on .zoom")
    assert page.run("document.querySelector('dialog').open")
    assert page.run("document.querySelector('dialog img').decode().then(() => 1)") == 1
    assert page.run("document.querySelector('dialog img').naturalWidth") == 620
    page.press("ArrowRight", 39)
    assert page.run("document.querySelector('dialog img').alt") == "two W"
    page.press("Escape", 27)
    assert not page.run("document.querySelector('dialog').open")
    assert page.problems == []
    page.close()


def test_browser_without_scripts_shows_all_figures(write, browser, tmp_path):
    path = write(many_values())
    page = Page(browser, path, 1280, 800, scripts=False)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    seen = "[...document.querySelectorAll('figure')].filter(f => f.offsetWidth).length"
    assert page.run(seen) == 7
    assert page.run("document.querySelector('noscript').offsetHeight") > 0
    page.close()


def test_browser_opens_the_report_of_an_analysis(write, browser):
    page = Page(browser, write(build_report(inputs())), 360, 800)
    assert page.run("document.querySelector('h1').textContent") == "Two dwarfs"
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert page.problems == []
    page.close()
