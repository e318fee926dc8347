"""Configurations of fermipy as settings of the makers here: `translate_fermipy_config`."""

import copy
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from astropy import units as u

from . import _fermipy_sections as sections
from ._fermipy_cuts import selection
from ._fermipy_maker import event_kind
from ._fermipy_paths import PathFinder
from ._fermipy_schema import DEFAULTS, check_keys, reason_of
from ._kinds import label_of

__all__ = ["FermipyTranslation", "translate_fermipy_config"]

# what fermipy calls its products in the output folder
PRODUCTS = {"counts": "ccube", "exposure": "bexpmap", "psf": "psf", "drm": "drm"}


@dataclass
class FermipyTranslation:
    """A fermipy configuration in the words of this package.

    Attributes
    ----------
    settings : dict
        Of the analysis as a whole; of what components change, the first one's:

        ======================== ==========================================================
        name                     of the target, else of the configuration's file, str
        target                   name of the target or None
        position                 (ra, dec) [deg], None if it is not in the configuration
        ft1, ft2                 path of a FITS file, list of paths, or "@list" if it is absent,
                                 None if it is not in the configuration; each component's own
        livetime                 path of a livetime cube or None
        frame, proj              "icrs" or "galactic"; FITS projection
        npix, binsz, width       pixels (nx, ny); their size and that of the map [deg], width a
                                 pair when the map is no square
        hpx_order, hpx_ordering  for HEALPix counts, else None
        energy_min, energy_max   [MeV]
        n_energy_bins            whole number, as fermipy rounds it
        energy_bins_per_decade   that number by decades, float
        event_class, event_type  bit masks or None
        zenith_max, radius       [deg]; radius of the events selected
        time_min, time_max       mission elapsed time [s] or None
        filter, roi_zenith_max   good times: expression or None, angle [deg] or None
        phase                    (min, max) or None, the exposure is scaled by what it covers
        irfs                     name or None for those of the event class
        edisp, edisp_margin      bool; bins of true energy around those of the counts
        edisp_disable            names of models without energy dispersion
        exposure                 path of an exposure cube to read, or None
        livetime_binsz           pixels of the livetime cube [deg]
        livetime_costheta_step   float
        outdir                   folder of fermipy's own products
        products                 dict: paths of its counts, exposure, psf and drm that exist
        model                    dict: catalogs, diffuse, isotropic, extended_dir (paths),
                                 sources (dicts as in fermipy), radius and width [deg]
        roi_optimizer            dict: npred_threshold, npred_frac, shape_ts_threshold,
                                 max_free_sources, skip
        ======================== ==========================================================
    components : list of dict
        As ``settings`` for each component, merged in full; ``name`` is that of fermipy ("00").
        One at least.
    untranslated : list of (str, object, str)
        Key "section.key", its value, and why it is not translated or means something else.
    path : `~pathlib.Path` or None
        Of the configuration.
    """

    settings: dict
    components: list
    untranslated: list = field(default_factory=list)
    path: Path | None = None

    def to_roi_model_maker(self, **kwargs):
        """Maker of the models of the region.

        Parameters
        ----------
        **kwargs
            Arguments of `~dmgammapy.makers.ROIModelMaker` in place of those of the configuration.

        Returns
        -------
        maker : `~dmgammapy.makers.ROIModelMaker`

        Raises
        ------
        ValueError
            If there are several templates of the Galactic emission, or several isotropic ones
            that are not told apart by components.
        """
        from ..roi_models import ROIModelMaker  # which imports names of event types from here

        model = self.settings["model"]
        given = {name: model[name] for name in ("catalogs", "sources", "extended_dir")}
        if model["radius"] is not None:
            given["radius"] = model["radius"] * u.deg
        given["diffuse"] = _only([part["model"]["diffuse"] for part in self.components], "galdiff")
        files = [part["model"]["isotropic"] for part in self.components]
        if len(self.components) > 1 and any(one != files[0] for one in files):
            given["isotropic"] = {
                dataset_name(part): _only([one], "isodiff")
                for part, one in zip(self.components, files, strict=True)
            }
        else:
            given["isotropic"] = _only(files, "isodiff")
        return ROIModelMaker(**given | kwargs)

    def __str__(self):
        head = f"{self.path or 'configuration'}: {len(self.components)} component(s)"
        lines = [head]
        for key, value, reason in self.untranslated:
            text = f"{key} = {value!r}: {reason}"
            lines += textwrap.wrap(text, 96, initial_indent="- ", subsequent_indent="  ")
        return "\n".join(lines)


def translate_fermipy_config(config, folder=None):
    """Translate a fermipy configuration.

    Keys that are not given have fermipy's defaults. Relative paths are relative to the
    configuration's folder, where fermipy works; environment variables are filled in.

    Parameters
    ----------
    config : str, `~pathlib.Path` or dict
        YAML file of fermipy, or its content.
    folder : str or `~pathlib.Path`, optional
        What relative paths are relative to. Default is the folder of the file, for a dictionary
        the current one.

    Returns
    -------
    translation : `FermipyTranslation`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no YAML, has a section or key that fermipy does not know, a value is not valid,
        or an environment variable is not set.

    Examples
    --------
    >>> from dmgammapy.makers.lat.fermipy_config import translate_fermipy_config
    >>> translation = translate_fermipy_config({
    ...     "selection": {"emin": 100, "emax": 1e5, "evclass": 128, "ra": 83.6, "dec": 22.0},
    ...     "components": [{"selection": {"evtype": 4}}, {"selection": {"evtype": 8}}],
    ...     "tsmap": {"max_kernel_radius": 2.0},
    ... })
    >>> [part["event_type"] for part in translation.components]
    [4, 8]
    >>> translation.settings["n_energy_bins"], translation.settings["width"]
    (24, 10.0)
    >>> translation.untranslated[0]
    ('tsmap.max_kernel_radius', 2.0, 'set when the map is made')
    """
    path = None if isinstance(config, dict) else Path(config).expanduser()
    where = "fermipy configuration" if path is None else str(path)
    given = copy.deepcopy(config) if path is None else _read(path)
    if folder is None:
        folder = Path.cwd() if path is None else path.resolve().parent
    check_keys(given, where)
    parts = _components(given, where)
    notes = []
    _list_untranslated(given, notes)
    for _, part in parts:
        if part:
            _list_untranslated(part, notes)
    components = [
        _translate(given, part, name, Path(folder).expanduser().resolve(), where, notes)
        for name, part in parts
    ]
    settings = copy.deepcopy(components[0])
    settings["name"] = settings["target"] or (path.stem if path else "fermipy")
    return FermipyTranslation(settings, components, _unique(notes), path)


def dataset_name(part):
    """Name of the dataset of a component where there are several."""
    return f"lat-{part['name']}-{label_of(event_kind(part['event_type']))}"


def _only(files, key):
    """The one template of all components; None without."""
    names = {name for part in files for name in part}
    if len(names) > 1:
        raise ValueError(
            f"model.{key}: several templates, {', '.join(sorted(names))}; give one to "
            f"ROIModelMaker, and the others as sources."
        )
    return names.pop() if names else None


def _read(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such fermipy configuration.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: expected sections of fermipy (selection, binning, ...), got "
            f"{type(content).__name__}."
        )
    return content


def _components(given, where):
    """Names and overrides of the components; one without overrides if there are none."""
    content = given.get("components")
    if not content:
        return [("00", {})]
    if isinstance(content, dict):
        parts = [(str(name), content[name]) for name in sorted(content)]
    elif isinstance(content, list):
        parts = [(f"{i:02d}", part) for i, part in enumerate(content)]
    else:
        raise ValueError(f"{where}: components must be a list, got {content!r}.")
    for name, part in parts:
        if part is not None and not isinstance(part, dict):
            raise ValueError(f"{where}: component {name} must hold sections, got {part!r}.")
        check_keys(part or {}, f"{where}, component {name}")
    return [(name, part or {}) for name, part in parts]


def _list_untranslated(given, notes):
    """What is given and has no counterpart."""
    for section, content in given.items():
        if section == "components":
            continue
        for key, value in (content or {}).items():
            reason = reason_of(section, key, value)
            if reason is not None:
                notes.append((f"{section}.{key}", value, reason))


def _merged(given, part):
    """Defaults, what the configuration says, and what a component says instead."""
    merged = {}
    for section, defaults in DEFAULTS.items():
        merged[section] = copy.deepcopy(defaults)
        for source in (given, part):
            merged[section].update(source.get(section) or {})
    return merged


def _translate(given, part, name, folder, where, notes):
    config = _merged(given, part)
    if part:
        where = f"{where}, component {name}"
    paths = PathFinder(folder, config["fileio"]["outdir"], where)
    geometry = sections.geometry(config, where, notes)
    place, target = sections.position(config, where, notes)
    livetime = {
        "livetime_binsz": sections.number(config, "ltcube", "binsz", where),
        "livetime_costheta_step": sections.number(config, "ltcube", "dcostheta", where),
    }
    return {
        "name": name,
        "target": target,
        "position": place,
        **sections.data(config, paths),
        **geometry,
        **sections.energies(config, where),
        **selection(config, where, notes, geometry),
        **sections.likelihood(config, paths, where, notes),
        **livetime,
        "outdir": str(paths.outdir),
        "products": _products(Path(paths.outdir), name),
        "model": sections.model(config, paths, where, notes),
        "roi_optimizer": {**config["roiopt"], "skip": sections.as_list(config["roiopt"]["skip"])},
    }


def _products(outdir, name):
    """Files that fermipy made for a component."""
    found = {what: outdir / f"{stem}_{name}.fits" for what, stem in PRODUCTS.items()}
    return {what: str(path) for what, path in found.items() if path.is_file()}


def _unique(notes):
    """Notes without repetitions, in order."""
    out = []
    for note in notes:
        if note not in out:
            out.append(note)
    return out
