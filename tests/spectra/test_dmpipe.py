"""dmpipe's spectral tables: a real one, and damaged ones."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from dmgammapy.spectra import BinnedSpectra, read_spectra

MASSES = np.array([10.0, 100.0, 1000.0])
EDGES = np.array([500.0, 1000.0, 5000.0, 50000.0])  # MeV


def write(path, codes=(1, 4), decay=False, change=None):
    """Write a small table with yields code + mass / 1000 + bin in every unit."""
    low, high = EDGES[:-1], EDGES[1:]
    bins = {"E_MIN": (low, "MeV"), "E_MAX": (high, "MeV"), "E_REF": (np.sqrt(low * high), "MeV")}
    mass = np.tile(MASSES, len(codes))
    code = np.repeat(codes, len(MASSES))
    yields = code[:, None] + mass[:, None] / 1000 + np.arange(3)
    flux = yields * 1e19 * 1e-26 / (8 * np.pi * mass[:, None] ** 2)
    if decay:
        code = code + 100
        flux = yields * 1e17 / (4 * np.pi * mass[:, None] * 1e26)
    rows = {
        "ref_mass": (mass, "GeV"),
        "ref_chan": (code, None),
        "ref_dnde": (flux * 1e-3, "ph MeV-1 s-1 cm-2"),
        "ref_flux": (flux, "ph s-1 cm-2"),
        "ref_eflux": (flux * 1e3, "MeV s-1 cm-2"),
    }
    header = {"REF_J": 1e19, "REF_SIGV": 1e-26, "REF_D": 1e17, "REF_TAU": 1e26}
    if change is not None:
        change(bins, rows, header)
    hdus = [fits.PrimaryHDU()]
    for name, columns in (("EBOUNDS", bins), ("SPECDATA", rows)):
        columns = [
            fits.Column(
                key,
                f"{np.prod(np.shape(array)[1:], dtype=int)}{'K' if key == 'ref_chan' else 'D'}",
                unit,
                array=array,
            )
            for key, (array, unit) in columns.items()
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
    hdus[2].header.update(header)
    fits.HDUList(hdus).writeto(path)
    return path


def test_units_and_normalisation(tmp_path):
    spectra = read_spectra(write(tmp_path / "dm_spectra.fits"))
    assert isinstance(spectra, BinnedSpectra)
    assert spectra.channels == ("e", "b")
    arguments = EDGES * u.MeV, MASSES * u.GeV, ["b", "e"]
    expected = np.array([4, 1])[:, None, None] + MASSES[:, None] / 1000 + np.arange(3)
    assert_allclose(spectra.integrate(*arguments), expected, rtol=1e-12)
    # 1e3 MeV per photon and 1e-3 photons per MeV
    eflux = spectra.integrate(*arguments, norm_type="eflux")
    assert_allclose(eflux.to_value("GeV"), expected, rtol=1e-12)
    dnde = spectra.integrate(*arguments, norm_type="dnde")
    assert_allclose(dnde.to_value("GeV-1"), expected, rtol=1e-12)
    reference = np.sqrt(EDGES[1:] * EDGES[:-1]) * u.MeV
    again = spectra.integrate(*arguments, norm_type="dnde", energy_ref=reference)
    assert_allclose(again, dnde)


def test_real_table_against_dmfit(test_data):
    """The golden table was made by dmpipe from DMFit, with 100 points per bin."""
    path = test_data / "golden" / "dm_spectra.fits"
    binned, dmfit = read_spectra(path), read_spectra("dmfit")
    assert set(binned.channels) == set(dmfit.channels)
    edges = binned.energy_edges
    for norm_type in ("flux", "eflux"):
        theirs = binned.integrate(edges, binned.masses, ["b", "tau"], norm_type=norm_type)
        ours = dmfit.integrate(edges, binned.masses, ["b", "tau"], norm_type=norm_type)
        # bins below half of the mass, where their sum is exact
        low = edges[1:] < binned.masses[:, np.newaxis] / 2
        assert_allclose(theirs[:, low], ours[:, low], rtol=3e-3)


def test_masses_to_rounding(test_data):
    spectra = read_spectra(test_data / "golden" / "dm_spectra.fits")
    masses = np.geomspace(10, 1e4, 13) * u.GeV
    values = spectra.integrate(spectra.energy_edges, masses, "b")
    assert_allclose(values, spectra.integrate(spectra.energy_edges, spectra.masses, "b"))
    # the references of these data have no limit for the first 4 masses of tt and 1 of WW
    assert spectra.is_valid(masses, ["t", "W"]).sum(axis=1).tolist() == [9, 12]


def test_empty_rows_are_not_valid(tmp_path):
    def change(bins, rows, header):
        for key in ("ref_dnde", "ref_flux", "ref_eflux"):
            rows[key][0][3] = 0

    spectra = read_spectra(write(tmp_path / "a.fits", change=change))
    assert spectra.is_valid(MASSES * u.GeV, ["e", "b"]).tolist() == [
        [True] * 3,
        [False, True, True],
    ]


def test_rows_of_some_masses_only(tmp_path):
    def change(bins, rows, header):
        for key, (array, unit) in rows.items():
            rows[key] = (np.delete(array, 3, axis=0), unit)

    spectra = read_spectra(write(tmp_path / "a.fits", change=change))
    assert not spectra.is_valid(10 * u.GeV, "b")
    assert spectra.is_valid(10 * u.GeV, "e")


def test_decay_is_annihilation_at_half_the_mass(tmp_path):
    """dmpipe's decay rows end at m rather than m/2: they hold the yields of mass m."""
    spectra = read_spectra(write(tmp_path / "a.fits", decay=True))
    values = spectra.integrate(EDGES * u.MeV, 200 * u.GeV, "b", process="decay")
    assert_allclose(values, 4 + 0.1 + np.arange(3), rtol=1e-12)
    assert_allclose(values, spectra.integrate(EDGES * u.MeV, 100 * u.GeV, "b"))


def test_other_bins_are_refused_with_both_binnings(tmp_path):
    spectra = read_spectra(write(tmp_path / "a.fits"))
    with pytest.raises(ValueError, match="0.5, 1, 5, 50; asked for: 0.6, 1, 5, 50"):
        spectra.integrate([600, 1000, 5000, 50000] * u.MeV, 100 * u.GeV, "b")
    with pytest.raises(ValueError, match="asked for: 0.5, 1, 5"):
        spectra.integrate([500, 1000, 5000] * u.MeV, 100 * u.GeV, "b")
    spectra.integrate(EDGES * (1 + 5e-5) * u.MeV, 100 * u.GeV, "b")
    with pytest.raises(ValueError, match="reference energies"):
        spectra.integrate(
            EDGES * u.MeV, 100 * u.GeV, "b", norm_type="dnde", energy_ref=EDGES[1:] * u.MeV
        )
    with pytest.raises(ValueError, match="lower edges"):
        spectra.integrate_intervals(1 * u.GeV, 2 * u.GeV, 100 * u.GeV, "b")
    low, high = EDGES[:-1] * u.MeV, EDGES[1:] * u.MeV
    values = spectra.integrate_intervals(low, high, 100 * u.GeV, "b")
    assert_allclose(values, spectra.integrate(EDGES * u.MeV, 100 * u.GeV, "b"))


def test_other_masses_are_refused(tmp_path):
    spectra = read_spectra(write(tmp_path / "a.fits"))
    for call in (spectra.is_valid, lambda m, c: spectra.integrate(EDGES * u.MeV, m, c)):
        with pytest.raises(ValueError, match="Mass 50 GeV is not in the table .*10, 100, 1000"):
            call([10, 50] * u.GeV, "b")
    with pytest.raises(ValueError, match="not in the table .* decay it has 20, 200, 2000"):
        spectra.integrate(EDGES * u.MeV, 100 * u.GeV, "b", process="decay")
    with pytest.raises(ValueError, match="unit of energy"):
        spectra.is_valid(10, "b")


def test_there_is_no_dnde(tmp_path):
    spectra = read_spectra(write(tmp_path / "a.fits"))
    with pytest.raises(ValueError, match="bin-integrated"):
        spectra.dnde(1 * u.GeV, 100 * u.GeV, "b")


def replace(table, key, value=None, unit=None):
    """Change that sets a column's value or unit."""

    def change(bins, rows, header):
        columns = {"bins": bins, "rows": rows}[table]
        array, old = columns[key]
        columns[key] = (array if value is None else value(array.astype(array.dtype)), unit or old)

    return change


def first(number):
    def value(array):
        array[0] = number
        return array

    return value


def drop(table, key):
    return lambda bins, rows, header: {"bins": bins, "rows": rows, "header": header}[table].pop(key)


DAMAGES = {
    "no lower edges": (drop("bins", "E_MIN"), "no column E_MIN"),
    "no reference energies": (drop("bins", "E_REF"), "no column E_REF"),
    "no flux": (drop("rows", "ref_flux"), "no column ref_flux"),
    "no mass": (drop("rows", "ref_mass"), "no column ref_mass"),
    "no J": (drop("header", "REF_J"), "REF_J or REF_SIGV"),
    "no sigmav": (lambda b, r, h: h.update(REF_SIGV=-1), "REF_J and REF_SIGV must be positive"),
    "flux in energy": (replace("rows", "ref_flux", unit="MeV s-1 cm-2"), "ref_flux is in MeV"),
    "mass in seconds": (replace("rows", "ref_mass", unit="s"), "ref_mass is in s"),
    "bins in metres": (replace("bins", "E_MIN", unit="m"), "E_MIN is in m"),
    "NaN": (replace("rows", "ref_flux", first(np.nan)), "row 1: column ref_flux must be finite"),
    "negative": (replace("rows", "ref_eflux", first(-1)), "row 1: column ref_eflux"),
    "gap": (
        replace("bins", "E_MAX", first(900)),
        "row 2 of EBOUNDS: .* got 500-900 MeV then 1000-5000 MeV",
    ),
    "swapped bins": (replace("bins", "E_MAX", lambda a: a[::-1]), "contiguous|E_MIN < E_MAX"),
    "reference outside": (replace("bins", "E_REF", lambda a: a * 100), "E_REF must lie in its bin"),
    "unknown channel": (replace("rows", "ref_chan", lambda a: a + 12), "unknown channel code 13"),
    "double row": (
        replace("rows", "ref_mass", first(100.0)),
        "row 2 of SPECDATA: channel code 1 and mass 100 GeV come twice",
    ),
    "fewer bins": (replace("rows", "ref_flux", lambda a: a[:, :2]), "expected ref_flux of shape"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage(tmp_path, damage):
    change, message = DAMAGES[damage]
    path = write(tmp_path / "dm_spectra.fits", change=change)
    with pytest.raises(ValueError, match=message) as error:
        read_spectra(path)
    assert "dm_spectra.fits" in str(error.value)


def test_missing_unit(tmp_path):
    def change(bins, rows, header):
        rows["ref_flux"] = (rows["ref_flux"][0], None)

    with pytest.raises(ValueError, match="ref_flux has no unit, expected cm-2 s-1"):
        read_spectra(write(tmp_path / "a.fits", change=change))


@pytest.mark.parametrize("hdu", [1, 2])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_truncated_files(tmp_path, hdu, part):
    path = write(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        header, start = hdus[hdu].header, hdus[hdu].fileinfo()["datLoc"]
    end = start + int(part * header["NAXIS1"] * header["NAXIS2"])
    path.write_bytes(path.read_bytes()[:end])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="a.fits"):
            read_spectra(path)


@pytest.mark.parametrize("name", ["EBOUNDS", "SPECDATA"])
def test_missing_parts(tmp_path, name):
    path = write(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        hdus.pop(name)
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(ValueError, match="expected the HDUs EBOUNDS and SPECDATA"):
        read_spectra(tmp_path / "b.fits")
