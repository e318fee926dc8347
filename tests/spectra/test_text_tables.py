"""PPPC4DMID's and CosmiXs's text tables."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmgammapy.spectra import read_spectra

MASSES = [5, 50, 500]
CENTRES = [-2.5, -1.5, -0.5]


def rows():
    return [
        [str(value) for value in (mass, log10x, 1 + index, 10 * (1 + index))]
        for mass in MASSES
        for index, log10x in enumerate(CENTRES)
    ]


def write(path, header, lines):
    text = [header, *(" \t ".join(line) for line in lines)]
    path.write_text("\n".join(text) + "\n")
    return path


HEADERS = {
    "cosmixs": "#DM  Log10[x]\tdNdLog10x[a]  dNdLog10x[W]",
    "pppc4": r"mDM  Log[10,x]  \[Gamma]  W",
}


@pytest.fixture(params=HEADERS)
def kind(request):
    return request.param


def test_layout(tmp_path, kind):
    spectra = read_spectra(write(tmp_path / "a.dat", HEADERS[kind], rows()))
    assert spectra.channels == ("gamma", "W")
    assert spectra.masses.value.tolist() == MASSES
    # the line through the last centres goes on to x = 1
    assert_allclose(spectra.dndlog10x[0, 1], [1, 2, 3, 3.5])
    assert_allclose(spectra.log10x, [*CENTRES, 0])
    mass = 500 * u.GeV
    energy = 10**-1.5 * mass
    assert_allclose((energy * spectra.dnde(energy, mass, "W")).value * np.log(10), 20)


def test_off_shell_bosons_of_cosmixs(tmp_path, kind):
    """CosmiXs generates four fermions below the threshold of WW (Arina et al. 2024, sec. 3)."""
    spectra = read_spectra(write(tmp_path / "a.dat", HEADERS[kind], rows()))
    expected = [True, True, True] if kind == "cosmixs" else [False, False, True]
    assert spectra.is_valid(MASSES * u.GeV, "W").tolist() == expected


def test_all_columns_of_cosmixs(tmp_path):
    names = (
        "eL eR e muL muR mu tauL tauR tau nue numu nutau u d s c b t a g W WL WT Z ZL ZT H aZ HZ"
    ).split()
    header = "# DM Log10[x] " + " ".join(f"dNdLog10x[{name}]" for name in names)
    lines = [[*row[:2], *(str(i + 1) for i in range(len(names)))] for row in rows()]
    spectra = read_spectra(write(tmp_path / "a.dat", header, lines))
    assert len(spectra.channels) == 29
    assert spectra.dndlog10x[spectra.channels.index("nu_tau"), 0, 0] == 12
    assert spectra.dndlog10x[spectra.channels.index("gamma"), 0, 0] == 19
    assert spectra.dndlog10x[spectra.channels.index("h"), 0, 0] == 27


def test_cosmixs_by_name(tmp_path, monkeypatch):
    folder = tmp_path / "dark_matter_spectra" / "cosmixs"
    folder.mkdir(parents=True)
    monkeypatch.delenv("GAMMAPY_DATA", raising=False)
    with pytest.raises(ValueError, match="GAMMAPY_DATA isn't set"):
        read_spectra("cosmixs")
    monkeypatch.setenv("GAMMAPY_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="existing file"):
        read_spectra("cosmixs")
    write(folder / "AtProduction-Gamma.dat", HEADERS["cosmixs"], rows())
    spectra = read_spectra("cosmixs")
    assert (spectra.name, spectra.source) == ("cosmixs", "cosmixs")
    assert read_spectra("CosmiXs") is spectra


DAMAGES = {
    "missing rows": (lambda h, r: (h, r[:-1]), "expected 3 masses x 3 .* = 9 rows, got 8"),
    "missing numbers": (lambda h, r: (h, [*r[:-1], r[-1][:2]]), "line 10: expected 4 numbers"),
    "not a number": (lambda h, r: (h, [*r[:-1], ["x", *r[-1][1:]]]), "not a number"),
    "NaN": (lambda h, r: (h, [*r[:-1], [*r[-1][:3], "nan"]]), "'W' at mass 500 GeV is nan"),
    "negative": (lambda h, r: (h, [*r[:-1], [*r[-1][:3], "-1"]]), "'W' at mass 500 GeV is -1"),
    "masses not sorted": (lambda h, r: (h, r[3:] + r[:3]), "row 1: rows must be sorted by mass"),
    "x not sorted": (lambda h, r: (h, [r[1], r[0], *r[2:]]), "sorted by mass, then by x"),
    "double row": (lambda h, r: (h, [r[0], *r]), "sorted|expected"),
    "empty": (lambda h, r: (h, []), "is empty"),
    "unknown column": (lambda h, r: (h.replace("W", "Q"), r), "columns of channels"),
    "no channel": (lambda h, r: (" ".join(h.split()[:2]), [x[:2] for x in r]), "got none"),
    "double channel": (
        lambda h, r: (" ".join([*h.split()[:3], h.split()[2]]), r),
        "comes twice",
    ),
    "columns swapped": (
        lambda h, r: (" ".join([h.split()[1], h.split()[0], *h.split()[2:]]), r),
        "first, got",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(tmp_path, kind, damage):
    change, message = DAMAGES[damage]
    header, lines = change(HEADERS[kind], rows())
    path = write(tmp_path / "a.dat", header, lines)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert "a.dat" in str(error.value)


def test_the_first_release_of_cosmixs_is_refused(tmp_path):
    header = "# DM \t Log10[x] dNdx[a] dNdx[W]"
    with pytest.raises(ValueError, match="get a newer one"):
        read_spectra(write(tmp_path / "a.dat", header, rows()))
