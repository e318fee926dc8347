"""Keys of fermipy's configuration: those that are translated, with defaults, and all others.

Facts of fermipy 1.4 (``fermipy/defaults.py``). A key that is given and not translated is listed
with its reason, never dropped.
"""

import difflib

__all__ = ["DEFAULTS", "SECTIONS", "check_keys", "reason_of"]

# sections that are translated: every key with fermipy's default
DEFAULTS = {
    "data": {"evfile": None, "scfile": None, "ltcube": None, "cacheft1": True},
    "binning": {
        "projtype": "WCS", "proj": "AIT", "coordsys": "CEL", "npix": None, "roiwidth": 10.0,
        "binsz": 0.1, "binsperdec": 8, "enumbins": None, "hpx_ordering_scheme": "RING",
        "hpx_order": 10, "hpx_ebin": True,
    },
    "selection": {
        "emin": None, "emax": None, "logemin": None, "logemax": None, "tmin": None, "tmax": None,
        "zmax": None, "evclass": None, "evtype": None, "convtype": None, "phasemin": None,
        "phasemax": None, "target": None, "ra": None, "dec": None, "glat": None, "glon": None,
        "radius": None, "filter": None, "roicut": "no",
    },
    "gtlike": {
        "irfs": None, "edisp": True, "edisp_bins": -1, "edisp_disable": None, "minbinsz": 0.05,
        "rfactor": 2, "convolve": True, "resample": True, "srcmap": None, "bexpmap": None,
        "bexpmap_roi": None, "srcmap_base": None, "bexpmap_base": None, "bexpmap_roi_base": None,
        "use_external_srcmap": False, "use_scaled_srcmap": False, "wmap": None, "llscan_npts": 20,
        "src_expscale": None, "expscale": None,
    },
    "model": {
        "src_radius": None, "src_roiwidth": None, "src_radius_roi": None, "isodiff": None,
        "galdiff": None, "limbdiff": None, "diffuse": None, "diffuse_xml": None, "sources": None,
        "extdir": None, "diffuse_dir": None, "catalogs": None, "merge_sources": True,
        "assoc_xmatch_columns": ["3FGL_Name"], "extract_diffuse": False,
    },
    "ltcube": {"binsz": 1.0, "phibins": 0, "dcostheta": 0.025, "use_local_ltcube": False},
    "roiopt": {
        "npred_threshold": 1.0, "npred_frac": 0.95, "shape_ts_threshold": 25.0,
        "max_free_sources": 5, "skip": None,
    },
    "fileio": {
        "outdir": None, "scratchdir": "/scratch", "workdir": None, "logfile": None,
        "savefits": True, "workdir_regex": None, "outdir_regex": None, "usescratch": False,
    },
}  # fmt: skip

PLOTS = "make_plots write_fits write_npy ra_format"
# sections that are not translated: keys, and why
OTHERS = {
    "logging": ("prefix chatter verbosity", "messages go through Python's logging"),
    "optimizer": (
        "optimizer tol max_iter init_lambda retries min_fit_quality verbosity",
        "fits here are by Newton's method for norms, with settings of ROIOptimizer",
    ),
    "mc": ("seed", "simulations take their seed when they are run"),
    "residmap": (f"model exclude loge_bounds use_weights {PLOTS}", "set when the map is made"),
    "tsmap": (
        f"model exclude multithread nthread max_kernel_radius loge_bounds {PLOTS}",
        "set when the map is made",
    ),
    "psmap": (
        "cmap mmap wmap emin emax nbinloge outfile fixedradius psfpar0 psfpar1 psfpar2 psfpar3 "
        "psfpar0lst chatter ipix jpix dpix maxpoissoncount prob_epsilon nbinpdf scaleaxis "
        "make_plots write_fits ra_format",
        "there is no PS map here",
    ),
    "tscube": (
        "model exclude do_sed nnorm norm_sigma cov_scale_bb cov_scale tol max_iter tol_type "
        "remake_test_source st_scan_level init_lambda ra_format",
        "set when the cube is made",
    ),
    "sourcefind": (
        "model min_separation sqrt_ts_threshold max_iter sources_per_iter tsmap_fitter "
        "free_params multithread nthread",
        "there is no source finding here",
    ),
    "sed": (
        "bin_index use_local_index free_background free_radius free_pars ul_ts_threshold "
        f"ul_confidence cov_scale {PLOTS}",
        "set when the spectrum is made, see CastroEstimator",
    ),
    "lightcurve": (
        "outdir use_local_ltcube use_scaled_srcmap save_bin_data binsz shape_ts_threshold nbins "
        "time_bins free_background free_radius free_sources free_params max_free_sources "
        f"multithread nthread systematic {PLOTS}",
        "there are no light curves here",
    ),
    "extension": (
        "spatial_model width fit_position width_min width_max width_nstep free_background "
        "fix_shape free_radius fit_ebin update save_model_map sqrt_ts_threshold psf_scale_fn "
        f"make_tsmap tsmap_fitter reoptimize {PLOTS}",
        "there is no extension fit here",
    ),
    "localize": (
        f"nstep dtheta_max free_background fix_shape free_radius update tsmap_fitter {PLOTS}",
        "there is no localisation here",
    ),
    "plotting": (
        "loge_bounds catalogs graticule_radii format cmap cmap_resid figsize label_ts_threshold "
        "label_source interactive ra_format",
        "figures here take their settings when they are made",
    ),
    "curvature": ("Index2 free_Index2", "there is no curvature test here"),
}

SECTIONS = {section: list(keys) for section, keys in DEFAULTS.items()}
SECTIONS.update({section: text.split() for section, (text, _) in OTHERS.items()})

GTLIKE_MAPS = "source maps are not used: point sources are rendered from the PSF"
# keys of translated sections that have no counterpart, and why
REASONS = {
    "data.cacheft1": "selected events stay in memory",
    "binning.hpx_ebin": "HEALPix counts always have energies here",
    "gtlike.minbinsz": "diffuse maps are interpolated on the pixels of the exposure",
    "gtlike.rfactor": "diffuse maps are interpolated on the pixels of the exposure",
    "gtlike.resample": "diffuse maps are interpolated on the pixels of the exposure",
    "gtlike.convolve": "models are always convolved with the PSF, but for the isotropic one",
    "gtlike.srcmap": GTLIKE_MAPS,
    "gtlike.srcmap_base": GTLIKE_MAPS,
    "gtlike.bexpmap_roi": GTLIKE_MAPS,
    "gtlike.bexpmap_base": GTLIKE_MAPS,
    "gtlike.bexpmap_roi_base": GTLIKE_MAPS,
    "gtlike.use_external_srcmap": GTLIKE_MAPS,
    "gtlike.use_scaled_srcmap": GTLIKE_MAPS,
    "gtlike.wmap": "likelihood weights are not supported",
    "gtlike.llscan_npts": "scans choose their points by the likelihood",
    "gtlike.src_expscale": "the exposure of single sources can't be scaled: scale their norms",
    "model.limbdiff": "give the Earth limb's template as a source (SkyModel)",
    "model.diffuse": "give further templates as sources (SkyModel)",
    "model.diffuse_xml": "XML models are not read: give sources as dictionaries or SkyModel",
    "model.merge_sources": "sources of several catalogs are merged by distance",
    "model.assoc_xmatch_columns": "sources of several catalogs are merged by distance",
    "model.extract_diffuse": "diffuse cubes are cut to the region when they are read",
    "ltcube.phibins": "the effective area is averaged over azimuth",
    "ltcube.use_local_ltcube": "livetime is always computed for the region only",
    "fileio.scratchdir": "nothing is written unless asked for",
    "fileio.usescratch": "nothing is written unless asked for",
    "fileio.workdir": "nothing is written unless asked for",
    "fileio.workdir_regex": "nothing is written unless asked for",
    "fileio.outdir_regex": "nothing is written unless asked for",
    "fileio.savefits": "nothing is written unless asked for",
    "fileio.logfile": "messages go through Python's logging",
}


def reason_of(section, key, value):
    """Why a key that is given is not translated; None if it is, or says what is the default."""
    if section in OTHERS:
        return OTHERS[section][1]
    if value == DEFAULTS[section][key]:
        return None
    return REASONS.get(f"{section}.{key}")


def check_keys(config, where):
    """Check the sections and keys of a configuration or of one of its components.

    Parameters
    ----------
    config : dict
    where : str
        For messages.

    Raises
    ------
    ValueError
        If there is a section or key that fermipy does not know, with the nearest that it knows.
    """
    known = [*SECTIONS, "components"]
    for section, content in config.items():
        if section not in known:
            homes = [name for name, keys in SECTIONS.items() if section in keys]
            hint = f" It is a key of {', '.join(homes)}." if homes else _hint(section, known)
            raise ValueError(f"{where}: unknown section {section!r}.{hint}")
        if section == "components" or content is None:
            continue
        if not isinstance(content, dict):
            raise ValueError(
                f"{where}: section {section!r} must hold keys and values, got {content!r}."
            )
        for key in content:
            if key not in SECTIONS[section]:
                raise ValueError(f"{where}: unknown key {section}.{key}.{_elsewhere(section, key)}")


def _elsewhere(section, key):
    """Where a key belongs."""
    homes = [name for name, keys in SECTIONS.items() if key in keys]
    near = difflib.get_close_matches(str(key), SECTIONS[section], 1)
    if homes and not near:
        return f" It belongs to {' or '.join(homes)}."
    return _hint(key, SECTIONS[section])


def _hint(word, known):
    near = difflib.get_close_matches(str(word), list(known), 1)
    return f" Did you mean {near[0]!r}?" if near else f" Known are {', '.join(known)}."
