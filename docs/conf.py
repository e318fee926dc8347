"""Sphinx configuration. Pages of the API and the keys of the configuration are written anew."""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import dmgammapy

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from _reference import reference_page  # noqa: E402

project = "dmgammapy"
author = "The dmgammapy developers"
copyright = author
release = dmgammapy.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas without a network
    "numpydoc",
    "myst_parser",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "dmgammapy"
html_show_sourcelink = False
html_static_path = ["api/_static"]
html_theme_options = {"show_toc_level": 2, "navbar_align": "left", "footer_start": ["copyright"]}

if os.environ.get("READTHEDOCS"):  # links to other packages need the network
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "astropy": ("https://docs.astropy.org/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "gammapy": ("https://docs.gammapy.org/2.1", None),
    }

ROOMS = {
    "targets": "Targets",
    "spectra": "Spectra",
    "modeling": "Models",
    "datasets": "Datasets",
    "makers": "Makers",
    "makers.lat": "Fermi-LAT",
    "estimators": "Estimators",
    "analysis": "Analysis",
    "visualization": "Visualization",
}


def write_api_pages():
    """Write one page per room, with all that its ``__all__`` names."""
    folder = HERE / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    package = Path(dmgammapy.__file__).parent
    rooms = [r for r in ROOMS if (package / r.replace(".", "/") / "__init__.py").exists()]
    for room in rooms:
        names = importlib.import_module(f"dmgammapy.{room}").__all__
        title = f"{ROOMS[room]} (``dmgammapy.{room}``)"
        lines = [
            title, "=" * len(title), "", f".. automodule:: dmgammapy.{room}", "",
            f".. currentmodule:: dmgammapy.{room}", "",
            ".. autosummary::", "   :toctree: generated", "   :nosignatures:", "",
            *(f"   {name}" for name in names), "",
        ]  # fmt: skip
        (folder / f"{room}.rst").write_text("\n".join(lines))
    index = ["API", "===", "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {r}" for r in rooms)]
    (folder / "index.rst").write_text("\n".join([*index, ""]))


def write_configuration_pages():
    """Write the JSON Schema of the configuration, and a page with tables of its keys."""
    schema = importlib.import_module("dmgammapy.analysis").AnalysisConfig.json_schema()
    static = HERE / "api" / "_static"
    static.mkdir()
    (static / "dmgammapy-config.schema.json").write_text(json.dumps(schema, indent=1))
    (HERE / "api" / "configuration_reference.md").write_text(reference_page(schema))


write_api_pages()
write_configuration_pages()
