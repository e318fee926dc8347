"""Small catalogs in the layout of 4FGL-DR3 and 3FHL, diffuse cubes and datasets for the tests."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.datasets import MapDataset
from gammapy.irf import PSFMap
from gammapy.maps import MapAxis, WcsGeom
from scipy.integrate import quad

CENTER = SkyCoord(150.0, 20.0, unit="deg")
DNDE = "cm-2 MeV-1 s-1"
# Columns of 4FGL-DR3 and DR4 with their defaults; 8 to 30 characters of text as in the files.
FGL = {
    "Source_Name": ("", "U18", None),
    "RAJ2000": (0.0, "f4", "deg"),
    "DEJ2000": (0.0, "f4", "deg"),
    "Conf_95_SemiMajor": (0.05, "f4", "deg"),
    "Conf_95_SemiMinor": (0.05, "f4", "deg"),
    "Conf_95_PosAng": (0.0, "f4", "deg"),
    "Extended_Source_Name": ("", "U18", None),
    "Signif_Avg": (10.0, "f4", None),
    "Pivot_Energy": (2000.0, "f4", "MeV"),
    "Flux1000": (np.nan, "f4", "cm-2 s-1"),
    "SpectrumType": ("PowerLaw", "U17", None),
    "PL_Flux_Density": (1e-13, "f4", DNDE),
    "Unc_PL_Flux_Density": (1e-14, "f4", DNDE),
    "PL_Index": (2.2, "f4", None),
    "Unc_PL_Index": (0.1, "f4", None),
    "LP_Flux_Density": (1e-13, "f4", DNDE),
    "Unc_LP_Flux_Density": (1e-14, "f4", DNDE),
    "LP_Index": (2.0, "f4", None),
    "Unc_LP_Index": (0.1, "f4", None),
    "LP_beta": (0.15, "f4", None),
    "Unc_LP_beta": (0.1, "f4", None),
    "PLEC_Flux_Density": (1e-13, "f4", DNDE),
    "Unc_PLEC_Flux_Density": (1e-14, "f4", DNDE),
    "PLEC_IndexS": (1.8, "f4", None),
    "Unc_PLEC_IndexS": (0.1, "f4", None),
    "PLEC_ExpfactorS": (0.6, "f4", None),
    "Unc_PLEC_ExpfactorS": (0.1, "f4", None),
    "PLEC_Exp_Index": (2 / 3, "f4", None),
    # fixed in the catalog's fit: no error
    "Unc_PLEC_Exp_Index": (np.nan, "f4", None),
    "Flux_History": (np.zeros(14), "f4", None),
    "ASSOC_FGL": ("", "U18", None),
    "ASSOC_FHL": ("", "U18", None),
    "ASSOC1": ("", "U28", None),
    "ASSOC2": ("", "U30", None),
    "ASSOC_PROB_BAY": (0.0, "f4", None),
}
# Columns of 3FHL in the order of gll_psch_v13; spectra of power laws have no curvature.
FHL = {
    "Source_Name": ("", "U18", None),
    "RAJ2000": (0.0, "f4", "deg"),
    "DEJ2000": (0.0, "f4", "deg"),
    "GLON": (0.0, "f4", "deg"),
    "GLAT": (0.0, "f4", "deg"),
    "Conf_95_SemiMajor": (0.05, "f4", "deg"),
    "Conf_95_SemiMinor": (0.05, "f4", "deg"),
    "Conf_95_PosAng": (0.0, "f4", "deg"),
    "ROI_num": (1, "i2", None),
    "Signif_Avg": (8.0, "f4", None),
    "Pivot_Energy": (30.0, "f4", "GeV"),
    "Flux_Density": (1e-14, "f4", "cm-2 GeV-1 s-1"),
    "Unc_Flux_Density": (1e-15, "f4", "cm-2 GeV-1 s-1"),
    "Flux": (1e-10, "f4", "cm-2 s-1"),
    "Unc_Flux": (1e-11, "f4", "cm-2 s-1"),
    "Energy_Flux": (1e-12, "f4", "erg cm-2 s-1"),
    "Unc_Energy_Flux": (1e-13, "f4", "erg cm-2 s-1"),
    "Signif_Curve": (0.5, "f4", None),
    "SpectrumType": ("PowerLaw", "U11", None),
    "Spectral_Index": (2.2, "f4", None),
    "Unc_Spectral_Index": (0.3, "f4", None),
    "beta": (np.nan, "f4", None),
    "Unc_beta": (np.nan, "f4", None),
    "PowerLaw_Index": (2.5, "f4", None),
    "Unc_PowerLaw_Index": (0.3, "f4", None),
    "Flux_Band": (np.full(5, 1e-11), "f4", "cm-2 s-1"),
    "Unc_Flux_Band": (np.full((5, 2), 1e-12), "f4", "cm-2 s-1"),
    "nuFnu": (np.full(5, 1e-13), "f4", "erg cm-2 s-1"),
    "Sqrt_TS_Band": (np.full(5, 3.0), "f4", None),
    "Npred": (20.0, "f4", None),
    "HEP_Energy": (100.0, "f4", "GeV"),
    "HEP_Prob": (0.9, "f4", None),
    "Variability_BayesBlocks": (1, "i2", None),
    "Extended_Source_Name": ("", "U18", None),
    "ASSOC_GAM": ("", "U18", None),
    "TEVCAT_FLAG": ("N", "U2", None),
    "ASSOC_TEV": ("", "U24", None),
    "CLASS": ("bll", "U8", None),
    "ASSOC1": ("", "U26", None),
    "ASSOC2": ("", "U26", None),
    "ASSOC_PROB_BAY": (0.9, "f4", None),
    "ASSOC_PROB_LR": (0.9, "f4", None),
    "Redshift": (0.1, "f4", None),
    "NuPeak_obs": (1e15, "f4", "Hz"),
}
EXTENDED = {
    "Source_Name": ("", "U17", None),
    "RAJ2000": (0.0, "f4", "deg"),
    "DEJ2000": (0.0, "f4", "deg"),
    "Model_Form": ("Disk", "U12", None),
    "Model_SemiMajor": (0.5, "f4", "deg"),
    "Model_SemiMinor": (0.5, "f4", "deg"),
    "Model_PosAng": (0.0, "f4", "deg"),
    "Spatial_Function": ("RadialDisk", "U11", None),
    "Spatial_Filename": ("", "U24", None),
}


def near(east, north):
    """Position at offsets in deg from the centre, right ascension and declination in deg."""
    position = CENTER.spherical_offsets_by(east * u.deg, north * u.deg)
    return {"RAJ2000": position.ra.deg, "DEJ2000": position.dec.deg}


def make_table(layout, rows):
    table = Table()
    for name, (default, dtype, unit) in layout.items():
        table[name] = np.array([row.get(name, default) for row in rows], dtype=dtype)
        table[name].unit = unit
    return table


def write_catalog(path, rows, extended=(), layout=FGL, version="v31"):
    """Write a catalog; rows and extended sources are dictionaries of what isn't default."""
    sources = fits.table_to_hdu(make_table(layout, rows))
    sources.name = "LAT_Point_Source_Catalog"
    sources.header["VERSION"] = version
    shapes = fits.table_to_hdu(make_table(EXTENDED, extended or [{"Source_Name": "none"}]))
    shapes.name = "ExtendedSources"
    edges = Table({"LowerEnergy": [100.0, 1000.0], "UpperEnergy": [1000.0, 1e5]})
    edges["LowerEnergy"].unit = edges["UpperEnergy"].unit = "MeV"
    bounds = fits.table_to_hdu(edges)
    bounds.name = "EnergyBounds"
    rois = fits.table_to_hdu(Table({"ROI_num": [1]}))
    rois.name = "ROIs"
    fits.HDUList([fits.PrimaryHDU(), sources, shapes, bounds, rois]).writeto(path)
    return path


def flux_1_100(row):
    """Integral flux 1-100 GeV in cm-2 s-1 from the formulas of Abdollahi et al. 2022 (DR3)."""
    row = {**{name: value[0] for name, value in FGL.items()}, **row}
    pivot = row["Pivot_Energy"]
    kind = row["SpectrumType"]

    def dnde(energy):
        x = energy / pivot
        if kind == "PowerLaw":
            return row["PL_Flux_Density"] * x ** -row["PL_Index"]
        if kind == "LogParabola":
            power = -row["LP_Index"] - row["LP_beta"] * np.log(x)
            return row["LP_Flux_Density"] * x**power
        d, b = row["PLEC_ExpfactorS"], row["PLEC_Exp_Index"]
        power = x ** (-row["PLEC_IndexS"] + d / b)
        return row["PLEC_Flux_Density"] * power * np.exp(d / b**2 * (1 - x**b))

    grid = np.linspace(np.log(1e3), np.log(1e5), 9)
    pieces = zip(grid[:-1], grid[1:], strict=True)
    return sum(quad(lambda t: dnde(np.exp(t)) * np.exp(t), a, b)[0] for a, b in pieces)


def write_isotropic(path, energy=None, flux=None):
    """Write an isotropic template, by default a power law of index 2.4, 50 MeV to 500 GeV."""
    if energy is None:
        energy = np.geomspace(50.0, 5e5, 25)
    if flux is None:
        flux = 1e-7 * (energy / 1000) ** -2.4 * 1e-3
    np.savetxt(path, np.column_stack([energy, flux, 0 * energy]))
    return path


def write_cube(path, flux, step=3.0, energies=None):
    """Write an all-sky cube in the LAT's format from flux(l, b, energy) in deg and MeV."""
    energies = np.geomspace(100.0, 1e5, 7) if energies is None else energies
    n_lon, n_lat = round(360 / step), round(180 / step) + 1
    lon = (np.arange(n_lon) + 0.5 - n_lon / 2) * -step
    lat = (np.arange(n_lat) - n_lat // 2) * step
    data = flux(lon[None, None, :], lat[None, :, None], energies[:, None, None])
    image = fits.PrimaryHDU(np.broadcast_to(data, (len(energies), n_lat, n_lon)).astype("f4"))
    image.header.update(
        CRVAL1=0.0, CDELT1=-step, CRPIX1=n_lon / 2 + 0.5, CTYPE1="GLON-CAR", CUNIT1="deg",
        CRVAL2=0.0, CDELT2=step, CRPIX2=n_lat // 2 + 1.0, CTYPE2="GLAT-CAR", CUNIT2="deg",
        CRVAL3=energies[0], CDELT3=1.0,
    )  # fmt: skip
    column = fits.Column("energy", "D", "MeV", array=energies)
    table = fits.BinTableHDU.from_columns([column], name="ENERGIES")
    fits.HDUList([image, table]).writeto(path)
    return path


def make_dataset(name="roi", reco=None, true=None, exposure=1e11, position=CENTER):
    """Dataset of 6 x 6 deg without energy dispersion, exposure in cm2 s at 1 GeV ~ E^0.2."""
    if reco is None:
        reco = MapAxis.from_energy_edges(np.geomspace(1e3, 1e5, 13) * u.MeV)
    if true is None:
        edges = np.geomspace(1e3, 1e5, 25)
        ratio = edges[1] / edges[0]
        edges = [edges[0] * ratio**-2, edges[0] / ratio, *edges, edges[-1] * ratio]
        true = MapAxis.from_energy_edges(edges * u.MeV, name="energy_true")
    geom = WcsGeom.create(skydir=position, npix=(30, 30), binsz=0.2, axes=[reco], proj="TAN")
    dataset = MapDataset.create(geom, energy_axis_true=true, name=name)
    dataset.edisp = None
    dataset.psf = PSFMap.from_gauss(true, sigma=0.3 * u.deg)
    shape = dataset.exposure.data.shape
    energy = dataset.exposure.geom.axes["energy_true"].center.to_value("GeV")[:, None, None]
    dataset.exposure.quantity = np.broadcast_to(exposure * energy**0.2, shape) * u.Unit("cm2 s")
    dataset.mask_safe = None
    return dataset
