"""Files in the layout of gtbin, gtexpcube2, gtpsf and gtdrm, with simple content."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from gammapy.maps import WcsGeom
from scipy.stats import norm

CENTER = SkyCoord(184.5546, -5.7834, unit="deg", frame="galactic")
EDGES = np.geomspace(1000.0, 10000.0, 5)
STEP = EDGES[1] / EDGES[0]
TRUE_EDGES = np.geomspace(1000.0 / STEP**2, 10000.0 * STEP**2, 9)
GTI = np.array([[100.0, 500.0], [700.0, 1300.0]])
SIGMA = 0.3
CENTERS = np.sqrt(TRUE_EDGES[:-1] * TRUE_EDGES[1:])


def dss(energy=True, event_type=3):
    keys = [
        ("BIT_MASK(EVENT_CLASS,128,P8R3)", "DIMENSIONLESS", "1:1"),
        (f"BIT_MASK(EVENT_TYPE,{event_type},P8R3)", "DIMENSIONLESS", "1:1"),
        ("ZENITH_ANGLE", "deg", "0:90"),
    ]
    if energy:
        keys.append(("ENERGY", "MeV", f"{EDGES[0]}:{EDGES[-1]}"))
    header = {}
    for i, (kind, unit, value) in enumerate(keys, start=1):
        header |= {f"DSTYP{i}": kind, f"DSUNI{i}": unit, f"DSVAL{i}": value}
    return header | {"NDSKEYS": len(keys)}


def gti_hdu(gti=GTI):
    table = Table({"START": gti[:, 0], "STOP": gti[:, 1]})
    return fits.BinTableHDU(table, name="GTI")


def ebounds_hdu(unit="keV", edges=EDGES):
    scale = 1e3 if unit == "keV" else 1.0
    table = Table({
        "CHANNEL": np.arange(1, len(edges), dtype=np.int16),
        "E_MIN": (edges[:-1] * scale).astype("f4"), "E_MAX": (edges[1:] * scale).astype("f4"),
    })  # fmt: skip
    hdu = fits.BinTableHDU(table, name="EBOUNDS")
    for i in (2, 3):
        hdu.header[f"TUNIT{i}"] = unit
    return hdu


def wcs_header(position, npix, binsz, proj="CAR", frame="galactic"):
    names = ("GLON", "GLAT") if frame == "galactic" else ("RA--", "DEC-")
    place = position.transform_to(frame)
    header = {}
    for i, name in enumerate(names, start=1):
        value = (place.data.lon.deg, place.data.lat.deg)[i - 1]
        header |= {
            f"CTYPE{i}": f"{name}-{proj}", f"CRPIX{i}": (npix[i - 1] + 1) / 2,
            f"CRVAL{i}": value, f"CDELT{i}": (-1) ** i * binsz,
        }  # fmt: skip
    return header


def write_counts(path, counts=None, frame="galactic", proj="CAR", **kwargs):
    counts = np.zeros((4, 40, 40), dtype="i4") if counts is None else counts
    primary = fits.PrimaryHDU(counts)
    primary.header.update(wcs_header(CENTER, counts.shape[:0:-1], 0.1, proj, frame))
    primary.header.update({"CTYPE3": "Energy", "CRPIX3": 1, "CRVAL3": 1000.0, "CUNIT3": "MeV"})
    primary.header.update(kwargs.get("dss", dss()))
    if frame == "icrs":
        primary.header["EQUINOX"] = 2000.0
    hdus = [primary, kwargs.get("ebounds", ebounds_hdu()), gti_hdu()]
    fits.HDUList([hdu for hdu in hdus if hdu is not None]).writeto(path)
    return path


def sky_exposure(energy, coords):
    """Exposure that varies over the sky and as a power of energy."""
    place = coords.galactic
    sky = 1 + 0.2 * np.sin(place.l.rad) * np.cos(place.b.rad) + 0.1 * np.sin(place.b.rad)
    return 1e11 * (energy / 1e3) ** 0.3 * sky


def write_exposure(path, geom=None, nodes=TRUE_EDGES, **kwargs):
    """All-sky exposure of fermipy (1 deg, CAR, Galactic), or that of another geometry."""
    npix = (360, 180)
    header = wcs_header(SkyCoord(0, 0, unit="deg", frame="galactic"), npix, 1.0)
    if geom is not None:
        header, npix = geom.wcs.to_header(), geom.data_shape[::-1]
    else:
        # the seam is at l = 180 deg
        geom = WcsGeom.create(npix=npix, binsz=1, proj="CAR", frame="galactic", skydir=(0, 0))
    coords = geom.get_coord().skycoord
    primary = fits.PrimaryHDU(np.array([sky_exposure(e, coords) for e in nodes], dtype="f4"))
    primary.header.update(header)
    first = kwargs.get("first", nodes[0])
    primary.header.update({"CTYPE3": "log_Energy", "CRPIX3": 1, "CRVAL3": np.log(first)})
    primary.header.update(dss(energy=False, event_type=kwargs.get("event_type", 3)))
    energies = fits.BinTableHDU(Table({"Energy": nodes}), name="ENERGIES")
    fits.HDUList([primary, energies, gti_hdu(kwargs.get("gti", GTI))]).writeto(path)
    return path


def gaussian(theta, sigma=SIGMA):
    return np.exp(-0.5 * (theta / sigma) ** 2) / (2 * np.pi * np.radians(sigma) ** 2)


def write_psf(path, psf=gaussian, n_theta=25, theta_max=2.0, energy=None):
    """Layout of gtpsf: angles go with the square of their number, without units."""
    energy = np.geomspace(TRUE_EDGES[0], TRUE_EDGES[-1], 16) if energy is None else energy
    theta = (np.arange(n_theta) / n_theta) ** 2 * theta_max
    table = Table({
        "Energy": energy, "Exposure": 1e11 * (energy / 1e3) ** 0.3,
        "Psf": np.array([psf(theta) for _ in energy]),
    })  # fmt: skip
    hdus = [fits.BinTableHDU(table, name="PSF"),
            fits.BinTableHDU(Table({"Theta": theta}), name="THETA")]  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def matrix():
    """Normal distribution of ln E of width 10 % on the measured energies, shape (8, 4)."""
    shift = np.log(EDGES)[np.newaxis] - np.log(CENTERS)[:, np.newaxis]
    return np.diff(norm.cdf(shift / 0.1), axis=1)


def write_drm(path, values=None, edges=TRUE_EDGES):
    """Layout of gtdrm: EBOUNDS is that of a template, without any meaning."""
    values = matrix() if values is None else values
    n_true, n_reco = values.shape
    lists = [np.empty(n_true, dtype=object) for _ in range(3)]
    for i in range(n_true):
        lists[0][i], lists[1][i] = np.array([1], "i2"), np.array([n_reco], "i2")
        lists[2][i] = values[i].astype("f4")
    columns = [
        fits.Column("ENERG_LO", "D", array=edges[:-1]),
        fits.Column("ENERG_HI", "D", array=edges[1:]),
        fits.Column("N_GRP", "I", array=np.ones(n_true, "i2")),
        fits.Column("F_CHAN", "PI()", array=lists[0]),
        fits.Column("N_CHAN", "PI()", array=lists[1]),
        fits.Column("MATRIX", "PE()", array=lists[2]),
    ]
    drm = fits.BinTableHDU.from_columns(columns, name="DRM")
    drm.header["DETCHANS"] = n_reco
    junk = ebounds_hdu(edges=np.arange(0.5, 11.0))
    fits.HDUList([fits.PrimaryHDU(np.ones((1, 1, 1), "f4")), gti_hdu(), junk, drm]).writeto(path)
    return path


def hpx_hdu(geom, values, prefix, name):
    columns = [fits.Column(f"{prefix}{i + 1}", "D", array=v) for i, v in enumerate(values)]
    pixels = geom.get_idx(flat=True)[0] if geom.region else None
    if pixels is not None:
        columns.insert(0, fits.Column("PIX", "J", array=pixels))
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header.update({
        "PIXTYPE": "HEALPIX", "ORDERING": "NESTED" if geom.nest else "RING",
        "NSIDE": int(geom.nside[0]),
    })  # fmt: skip
    # as gtexpcube2 writes it: the system of equatorial pixels is not named
    hdu.header.update({"COORDSYS": "GAL"} if geom.frame == "galactic" else {"EQUINOX": 2000.0})
    return hdu


def wrong_unit():
    """Energies in keV that are said to be in MeV."""
    hdu = ebounds_hdu("keV")
    for i in (2, 3):
        hdu.header[f"TUNIT{i}"] = "MeV"
    return hdu


def gap():
    hdu = ebounds_hdu()
    hdu.data["E_MIN"][2] *= 1.2
    return hdu
