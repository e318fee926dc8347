"""Sections of a fermipy configuration as settings of the makers."""

import math

from astropy.coordinates import SkyCoord

__all__ = [
    "as_list", "data", "energies", "geometry", "likelihood", "model", "number", "position",
]  # fmt: skip

FRAMES = {"CEL": "icrs", "GAL": "galactic"}
DIFFUSE_FOLDERS = ("$FERMI_DIFFUSE_DIR", "$FERMI_DIR/refdata/fermi/galdiffuse")
# catalogs that fermipy ships, by their names there
SHIPPED = {"4FGL", "4FGL-DR2", "4FGL-DR3", "4FGL-DR4"}
OTHER_SHIPPED = {"2FHL", "3FGL", "FL8Y", "FL16Y"}


def number(config, section, key, where, kind=float):
    """A number, also one that YAML took for text (1e5), or None.

    Raises
    ------
    ValueError
        If it is no finite number, or no whole one where one is needed.
    """
    value = config[section][key]
    if value is None:
        return None
    try:
        result = float(value)
        if isinstance(value, bool) or not math.isfinite(result):
            raise ValueError
        if kind is int and result != int(result):
            raise ValueError
    except (TypeError, ValueError):
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"{where}: {section}.{key} = {value!r}, expected {expected}.") from None
    return kind(result)


def boolean(config, section, key, where):
    """True or False.

    Raises
    ------
    ValueError
        For text such as "no", which fermipy takes for True.
    """
    value = config[section][key]
    if not isinstance(value, bool):
        raise ValueError(f"{where}: {section}.{key} = {value!r}, expected true or false.")
    return value


def data(config, paths):
    """Input files: ft1, ft2, livetime."""
    files = config["data"]
    out = {"ft1": None, "ft2": None, "livetime": None}
    if files["evfile"] is not None:
        out["ft1"] = paths.files(files["evfile"], "data.evfile")
    if files["scfile"] is not None:
        out["ft2"] = paths.files(files["scfile"], "data.scfile")
    if files["ltcube"] is not None:
        out["livetime"] = paths.path(files["ltcube"], "data.ltcube")
    return out


def energies(config, where):
    """Range [MeV] and bins of energy."""
    out = {}
    for name, key in (("energy_min", "emin"), ("energy_max", "emax")):
        value = number(config, "selection", key, where)
        log_value = number(config, "selection", f"log{key}", where)
        if log_value is not None:
            if value and abs(value / 10**log_value - 1) > 1e-3:
                raise ValueError(
                    f"{where}: selection.{key} = {value:g} MeV and log{key} = {log_value:g} "
                    f"contradict each other; fermipy takes {key}. Give one."
                )
            value = 10**log_value if value is None else value
        if value is None:
            raise ValueError(f"{where}: selection.{key} [MeV] is missing (or log{key}).")
        out[name] = value
    low, high = out.values()
    if not 0 < low < high:
        raise ValueError(
            f"{where}: selection.emin = {low:g} and emax = {high:g} MeV, expected 0 < emin < emax."
        )
    decades = math.log10(high / low)
    n_bins = number(config, "binning", "enumbins", where, int)
    if n_bins is None:
        per_decade = number(config, "binning", "binsperdec", where)
        n_bins = round(per_decade * decades) if per_decade else 0
    if n_bins < 1:
        raise ValueError(f"{where}: binning gives {n_bins} energy bins, expected 1 or more.")
    return {**out, "n_energy_bins": n_bins, "energy_bins_per_decade": n_bins / decades}


def geometry(config, where, notes):
    """Pixels of the counts."""
    binning = config["binning"]
    coordsys = str(binning["coordsys"]).upper()
    if coordsys not in FRAMES:
        raise ValueError(
            f"{where}: binning.coordsys = {binning['coordsys']!r}, expected CEL or GAL."
        )
    projtype = str(binning["projtype"]).upper()
    if projtype not in ("WCS", "HPX"):
        raise ValueError(
            f"{where}: binning.projtype = {binning['projtype']!r}, expected WCS or HPX."
        )
    binsz = number(config, "binning", "binsz", where)
    roiwidth = number(config, "binning", "roiwidth", where)
    if not binsz or binsz < 0 or (roiwidth is not None and roiwidth <= 0):
        raise ValueError(
            f"{where}: binning.binsz = {binsz} and roiwidth = {roiwidth} deg must be positive."
        )
    npix = _npix(binning["npix"], where)
    if npix is None:
        npix = (round((360.0 if roiwidth is None else roiwidth) / binsz),) * 2
    width = tuple(round(n * binsz, 9) for n in npix)
    out = {
        "frame": FRAMES[coordsys],
        "proj": str(binning["proj"]).upper(),
        "binsz": binsz,
        "npix": npix,
        "width": width[0] if width[0] == width[1] else width,
        "hpx_order": None,
        "hpx_ordering": None,
    }
    if projtype == "HPX":
        out["hpx_order"] = number(config, "binning", "hpx_order", where, int)
        out["hpx_ordering"] = str(binning["hpx_ordering_scheme"]).upper()
        out["width"] = roiwidth
        notes.append((
            "binning.projtype", "HPX",
            "Gammapy predicts wrong counts on HEALPix pixels: HEALPix counts are for looking, "
            "fit on a WCS projection (projtype: WCS)",
        ))  # fmt: skip
    return out


def _npix(value, where):
    if value is None:
        return None
    values = value if isinstance(value, list | tuple) else [value, value]
    if len(values) != 2 or any(not isinstance(n, int) or n < 1 for n in values):
        raise ValueError(f"{where}: binning.npix = {value!r}, expected two whole numbers.")
    return tuple(values)


def position(config, where, notes):
    """Centre of the region as (ra, dec) [deg], and the name of the target.

    fermipy's order: the target, ra and dec, glon and glat.
    """
    target = config["selection"]["target"]
    sources = config["model"]["sources"] or []
    if target is not None:
        for source in sources:
            if _same_name(source.get("name"), target):
                found = _direction(source, f"{where}: source {target!r} of model.sources")
                if found is not None:
                    return found, str(target)
        notes.append((
            "selection.target", target,
            "a source of a catalog gives the position in fermipy; give it here, "
            "e.g. position=SkyCoord.from_name(...)",
        ))  # fmt: skip
        return None, str(target)
    found = _direction(config["selection"], f"{where}: selection")
    if found is None:
        notes.append((
            "selection.ra", None,
            "there is no target, ra and dec, or glon and glat: give the position here (fermipy "
            "takes ra = dec = 0)",
        ))  # fmt: skip
    return found, None


def _same_name(first, second):
    return str(first).replace(" ", "").lower() == str(second).replace(" ", "").lower()


def _direction(values, where):
    for lon, lat, frame in (("ra", "dec", "icrs"), ("glon", "glat", "galactic")):
        if values.get(lon) is None or values.get(lat) is None:
            continue
        try:
            place = SkyCoord(float(values[lon]), float(values[lat]), unit="deg", frame=frame).icrs
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {lon} and {lat} must be degrees ({error}).") from None
        return round(float(place.ra.deg), 10), round(float(place.dec.deg), 10)
    return None


def likelihood(config, paths, where, notes):
    """Response and energy dispersion."""
    options = config["gtlike"]
    irfs = options["irfs"]
    n_bins = number(config, "gtlike", "edisp_bins", where, int) or 0
    # the tools have no energy dispersion without bins
    wanted = boolean(config, "gtlike", "edisp", where)
    edisp = wanted and n_bins != 0
    if wanted and not edisp:
        notes.append((
            "gtlike.edisp", True,
            "without edisp_bins the tools apply no energy dispersion, neither is it done here",
        ))  # fmt: skip
    if edisp and n_bins < 0:
        notes.append((
            "gtlike.edisp_bins", n_bins,
            "the Science Tools extrapolate the model's counts by so many bins; here the model is "
            "evaluated in that margin of true energy",
        ))  # fmt: skip
    disable = as_list(options["edisp_disable"])
    for name in disable:
        if name != "isodiff":
            notes.append((
                "gtlike.edisp_disable", name,
                "energy dispersion is applied to all but the isotropic emission; set "
                "model.apply_irf['edisp'] = False for others",
            ))  # fmt: skip
    exposure = options["bexpmap"]
    return {
        "irfs": None if irfs in (None, "CALDB") else str(irfs),
        "edisp": edisp,
        "edisp_margin": abs(n_bins) if edisp else 0,
        "edisp_disable": disable,
        "exposure": None if exposure is None else paths.path(exposure, "gtlike.bexpmap"),
    }


def as_list(value):
    """A list, also of the text or the single value that fermipy allows in its place."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def model(config, paths, where, notes):
    """Sources and diffuse emission."""
    chosen = config["model"]
    folders = [str(f) for f in as_list(chosen["diffuse_dir"])] + list(DIFFUSE_FOLDERS)
    radius = number(config, "model", "src_radius", where)
    width = number(config, "model", "src_roiwidth", where)
    half = number(config, "model", "src_radius_roi", where)
    if width is None and half is not None:
        width = 2 * half
    sources = as_list(chosen["sources"])
    for source in sources:
        if not isinstance(source, dict) or "name" not in source:
            raise ValueError(f"{where}: model.sources must be a list with names, got {source!r}.")
    return {
        "catalogs": _catalogs(as_list(chosen["catalogs"]), paths, notes),
        "diffuse": _templates(chosen["galdiff"], "galdiff", paths, folders, where),
        "isotropic": _templates(chosen["isodiff"], "isodiff", paths, folders, where),
        "sources": [dict(source) for source in sources],
        "extended_dir": (
            None if chosen["extdir"] is None else paths.path(chosen["extdir"], "model.extdir")
        ),
        "radius": _radius(radius, width, notes),
        "width": width,
    }


def _radius(radius, width, notes):
    """Distance from the centre that holds the sources of fermipy."""
    if width is None:
        if radius is None:
            notes.append((
                "model.src_radius", None,
                "fermipy takes the sources of the whole sky; here those within the default "
                "radius of ROIModelMaker",
            ))  # fmt: skip
        return radius
    corner = round(width / math.sqrt(2), 9)
    if radius is not None:
        notes.append((
            "model.src_radius", radius,
            "fermipy keeps the sources within src_radius and src_roiwidth (its documentation "
            "says or); here those within the smaller of radius and corner",
        ))  # fmt: skip
        return min(radius, corner)
    notes.append((
        "model.src_roiwidth", width,
        f"sources are selected by distance: those within the square's corners, {corner:g} deg",
    ))  # fmt: skip
    return corner


def _catalogs(names, paths, notes):
    kept = []
    for name in names:
        text = str(name)
        if text.upper() in SHIPPED:
            notes.append((
                "model.catalogs", name,
                "fermipy ships this catalog; here it is the 4FGL file of Gammapy "
                "($GAMMAPY_DATA), or give the path of its FITS file",
            ))  # fmt: skip
            kept.append("4fgl")
        elif text.upper() in OTHER_SHIPPED:
            notes.append(("model.catalogs", name, "left out: only 4FGL and 3FHL are supported"))
        elif text.lower().endswith(".xml"):
            notes.append((
                "model.catalogs", name,
                "left out: XML models are not read; give sources as dictionaries or SkyModel",
            ))  # fmt: skip
        else:
            kept.append(paths.path(text, "model.catalogs"))
    return kept


def _templates(value, key, paths, folders, where):
    """Paths of diffuse templates; entries may be text or ``{file: ..., name: ...}``."""
    out = []
    for entry in as_list(value):
        name = entry.get("file") if isinstance(entry, dict) else entry
        if not isinstance(name, str):
            raise ValueError(f"{where}: model.{key} must name files, got {entry!r}.")
        out.append(paths.path(name, f"model.{key}", search=folders))
    return out
