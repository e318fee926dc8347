"""Every application of dmpipe, and of fermipy.jobs in its pipeline, has its place in the docs."""

import re
from pathlib import Path

import pytest

from dmgammapy.analysis._sections_run import PLOT_KINDS
from dmgammapy.analysis._tasks import STEPS
from dmgammapy.scripts.main import cli

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "coming_from.md").read_text(encoding="utf-8")
# dmpipe 0.1.3: appname in dmpipe/*.py, entry points of setup.py, dmpipe/scripts
DMPIPE = """
dmpipe-calc-sed-limits dmpipe-collect-limits dmpipe-collect-limits-sg
dmpipe-collect-stacked-limits-sg dmpipe-convert-castro dmpipe-convert-castro-sg dmpipe-pipeline
dmpipe-pipeline-data dmpipe-pipeline-dsph dmpipe-pipeline-random dmpipe-pipeline-sim dmpipe-plot-dm
dmpipe-plot-dm-sg dmpipe-plot-dm-spectra dmpipe-plot-final-limits-sg dmpipe-plot-control-limits-sg
dmpipe-plot-control-mles-sg dmpipe-plot-limits dmpipe-plot-limits-sg dmpipe-plot-mles
dmpipe-plot-stacked-dm-sg dmpipe-plot-stacked-limits-sg dmpipe-prepare-targets dmpipe-spec-table
dmpipe-stack-likelihood dmpipe-stack-likelihood-sg dmpipe/scripts/extract_castro_data.py
dmpipe/scripts/extract_column_data.py dmpipe/scripts/merge_maps.py dmpipe/scripts/plot_catalog.py
""".split()
# fermipy 1.4.3: appname in fermipy/jobs/*.py, but those of the base classes, and its archives
FERMIPY = """
fermipy-analyze-extension fermipy-analyze-extension-sg fermipy-analyze-roi fermipy-analyze-roi-sg
fermipy-analyze-sed fermipy-analyze-sed-sg fermipy-collect-sed fermipy-collect-sed-sg
fermipy-copy-base-roi fermipy-copy-base-roi-sg fermipy-file-archive fermipy-job-archive
fermipy-pipeline fermipy-pipeline-data fermipy-pipeline-sim fermipy-plot-castro
fermipy-plot-castro-sg fermipy-plot-sed-summary-bands fermipy-plot-sed-summary-bands-sg
fermipy-prepare-targets fermipy-random-dir-gen fermipy-random-dir-gen-sg fermipy-simulate-roi
fermipy-simulate-roi-sg
""".split()
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, flags=re.MULTILINE))


@pytest.mark.parametrize("name", [*DMPIPE, *FERMIPY])
def test_application_has_a_row(name):
    assert ROWS.get(name)


def test_numbers_of_applications():
    assert (len(DMPIPE), len(FERMIPY)) == (30, 24)


def test_what_the_rows_name_exists():
    for name in (*DMPIPE, *FERMIPY):
        text = ROWS[name]
        for words in re.findall(r"steps? ((?:`\w+`(?:, | and )?)+)", text):
            assert set(re.findall(r"`(\w+)`", words)) <= set(STEPS), name
        for kinds in re.findall(r"plot ((?:`\w+`)+)", text):
            assert set(re.findall(r"`(\w+)`", kinds)) <= set(PLOT_KINDS), name
        for command in re.findall(r"dmgammapy ([a-z-]+)", text):
            assert command in cli.commands, name


def test_every_command_is_on_its_page():
    page = (DOCS / "command_line.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z-]+)[ `]", page, flags=re.MULTILINE))
    assert listed == set(cli.commands)
