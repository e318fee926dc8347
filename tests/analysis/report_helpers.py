"""Reports to test with."""

import struct
import zlib

import astropy.units as u
import numpy as np
from astropy.table import QTable

from dmgammapy.analysis._report_content import PlotFile, ReportInputs
from dmgammapy.analysis.report import Alert, Column, Report, ReportFigure, ReportTable, Section

HOSTILE = (
    """<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> & 'a' "b" </script>"""
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt"><rect width="9"/></svg>'


def png(width, height, grey=128):
    """A picture of one grey, by the PNG specification."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([grey]) * width) * height
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def limits_table(channels=("b", "tau"), masses=(10, 100, 1000)):
    n = len(channels) * len(masses)
    table = QTable()
    table["channel"] = np.repeat(channels, len(masses))
    table["mass"] = np.tile(masses, len(channels)) * u.GeV
    table["sigmav"] = np.zeros(n) * u.Unit("cm3 s-1")
    table["sigmav_ul"] = np.geomspace(9e-27, 4e-24, n) * u.Unit("cm3 s-1")
    table["ts"] = np.linspace(0, 3, n)
    table["status"] = ["found"] * n
    return table


def inputs(**changes):
    """A small analysis with something of everything."""
    names = ["draco", "segue_1"]
    key = ("dwarfs", "profile")
    contributions = QTable(
        {"target": names, "channel": ["b", "b"], "mass": [10, 10] * u.GeV, "share": [0.75, 0.25]}
    )
    values = {
        "title": "Two dwarfs",
        "spectra": "pppc4",
        "channels": ["b", "tau"],
        "masses": [10, 100, 1000] * u.GeV,
        "rosters": {"dwarfs": names},
        "instruments": ["fermi-lat"],
        "targets": [{"name": name, "log10_jfactor": 18.8, "width": 0.2} for name in names],
        "limits": {key: limits_table()},
        "contributions": {key: contributions},
        "figures": [PlotFile("limits", png(40, 30), channel=name) for name in ("b", "tau")],
        "version": "1.2.3",
    }
    return ReportInputs(**(values | changes))


def many_values(n=120):
    """A report with a table of numbers whose text sorts in another order, and tabs."""
    masses = np.geomspace(1, 1e6, n)
    order = np.random.default_rng(1).permutation(n)
    rows = [
        [f"target {k}", float(masses[k]), float("nan") if k == 7 else 1e-27 * masses[k], status]
        for k, status in zip(order, ["found", "grid_edge"] * (n // 2), strict=True)
    ]
    columns = [
        Column("target", description="Its name."),
        Column("mass", "GeV"),
        Column("limit", "cm3 s-1", format=".2e"),
        Column("status", format="status"),
    ]
    figures = [
        ReportFigure(png(600 + 10 * k, 400, 50 * k), f"Caption of {r} {c}.", f"{r} {c}", "limits",
                     {"Roster": r, "Channel": c})
        for k, (r, c) in enumerate([("one", "b"), ("one", "tau"), ("two", "b"), ("two", "W")])
    ]  # fmt: skip
    return Report(
        "Test " + HOSTILE,
        facts=[("wide", "x" * 300)],
        sections=[
            Section("Limits", figures=figures, tables=[ReportTable("All", columns, rows)]),
            Section("Second", figures=[ReportFigure(SVG, "Vector.", "vector"), *figures[:2]]),
            Section(HOSTILE, text=[HOSTILE], notes=[HOSTILE], code=HOSTILE, collapsed=True),
        ],
        alerts=[Alert("warning", HOSTILE, "Second")],
        provenance=[("hash", "f" * 300)],
        links=[(HOSTILE, HOSTILE.replace('"', ""))],
    )
