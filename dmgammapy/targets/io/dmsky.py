"""Read target files of dmsky: properties by target and version.

.. code-block:: yaml

    draco:
      default: {ra: 260.05, dec: 57.92, distance: 76.}
      my_nfw:
        j_integ: 6.761e+18                  # GeV2 cm-5; d_integ in GeV cm-2
        j_sigma: 0.16                       # dex; a list [low, high] if asymmetric
        extension: -0.59                    # log10 of deg; zero and above are deg
        profile: {type: NFW, rs: 0.35, rhos: 2.3e8, units: msun_kpc3_kpc}

What a version does not say it takes from its ``base``, and in the end from ``default``. A NaN
means that a value is unknown. Keys that are no property of a `Target` (colours, luminosities, ...)
are not used.
"""

import logging
import math

import astropy.units as u

from .._checks import looks_like_width, make_position
from .._names import UnknownNameError, closest_first, look_alike
from ..core import FIELD_UNITS, Target
from ._yaml import load_yaml

__all__ = ["read_dmsky", "resolve", "target_fields"]

log = logging.getLogger(__name__)

DEFAULT = "default"
# units by dmsky's names, such as msun_kpc3_kpc
DENSITY_UNITS = {
    "msun_kpc3": "solMass / kpc3",
    "msun_pc3": "solMass / pc3",
    "gev_cm3": "GeV / cm3",
    "g_cm3": "g / cm3",
}
LENGTH_UNITS = ("kpc", "pc", "km", "m", "cm")
LENGTHS = ("rs", "rmin", "rmax")
DENSITIES = ("rhos", "rhomax")
USED = (
    "j_integ", "j_sigma", "d_integ", "d_sigma", "distance", "dsigma", "ra", "dec", "extension",
    "extsigma", "profile", "base", "title", "type", "references",
)  # fmt: skip
UNUSED = (
    "name", "abbr", "abbreviation", "codename", "nickname", "altnames", "color", "ver_key", "mode",
    "version", "major_axis", "ellipticity", "abs_mag", "j_rad_file", "d_rad_file", "j_map_file",
    "d_map_file", "j_prior_def", "d_prior_def", "shape",
)  # fmt: skip


def read_dmsky(path, data=None, bundled=None):
    """Read all targets and versions of a dmsky target file.

    Parameters
    ----------
    path : path-like
        The YAML file.
    data : dict, optional
        Its content, if it is parsed already.
    bundled : callable, optional
        Gives the bundled target of a name and version, or None; it fills in what the file leaves
        out, such as positions.

    Returns
    -------
    targets : list of `Target`
        In the order of the file. The version ``default`` is there if a target has no other.

    Raises
    ------
    ValueError
        If the file is damaged or a value is not valid.
    """
    data = load_yaml(path) if data is None else data
    targets = []
    for name, versions in data.items():
        where = f"{path}, {name}"
        if not isinstance(versions, dict) or not versions:
            raise ValueError(f"{where}: expected versions with properties, got {versions!r}.")
        wanted = [version for version in versions if version != DEFAULT] or [DEFAULT]
        for version in wanted:
            properties, base = resolve(versions, version, where)
            given = target_fields(properties, f"{where}:{version}")
            try:
                given = _fill(given, base, name, bundled)
                targets.append(Target(name=name, version=str(version), **given))
            except ValueError as error:
                raise ValueError(f"{where}:{version}: {error}") from None
    return targets


def resolve(versions, version, where):
    """Properties of a version with those of its base, and of default in the end.

    Parameters
    ----------
    versions : dict of dict
        Properties by version.
    version : str
        The version.
    where : str
        What errors call the target.

    Returns
    -------
    properties : dict
        Merged properties; nested mappings are merged too.
    base : str or None
        A base that is not in ``versions``.

    Raises
    ------
    ValueError
        If a version is no mapping or is its own base.
    UnknownNameError
        If the version does not exist.
    """
    if version not in versions:
        raise UnknownNameError(
            f"{where}: no version {version!r}; there are {closest_first(version, versions)}."
        )
    properties, path = {}, []
    while version is not None:
        if version in path:
            raise ValueError(f"{where}: versions are based in a circle: {' > '.join(path)}.")
        path.append(version)
        found = versions[version]
        if not isinstance(found, dict) or not found:
            raise ValueError(f"{where}:{version}: expected properties, got {found!r}.")
        properties = _merge(found, properties)
        version = _next_version(version, found, versions)
        if version is not None and version not in versions:
            return properties, version
    return properties, None


def _next_version(version, properties, versions):
    if version == DEFAULT:
        return None
    base = properties.get("base")
    return str(base) if base is not None else DEFAULT if DEFAULT in versions else None


def _merge(low, high):
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _fill(given, base, name, bundled):
    """Add what the bundled tables know of the target, and of a base that is not in the file."""
    known = {}
    for version in (DEFAULT, base):
        found = None if bundled is None or version is None else bundled(name, version)
        if found is not None:
            known |= _known_fields(found)
        elif version == base and base is not None:
            raise UnknownNameError(f"the base {base!r} is neither in the file nor bundled.")
    return known | given


def _known_fields(target):
    skipped = ("name", "version", "position")
    fields = {key: getattr(target, key) for key in target.to_dict() if hasattr(target, key)}
    fields = {key: value for key, value in fields.items() if key not in skipped}
    return fields if target.position is None else fields | {"position": target.position}


def target_fields(properties, where):
    """Translate properties of dmsky into fields of a `Target`.

    Parameters
    ----------
    properties : dict
        Properties as in the file; numbers may be texts.
    where : str
        What errors call the place.

    Returns
    -------
    fields : dict
        Fields by name; None where the file says that a value is unknown.

    Raises
    ------
    ValueError
        If a value is not valid or a key looks like a misspelt one.
    """
    _check_spelling(properties, where)
    fields = {}
    for kind, unit in (("j", "GeV2 cm-5"), ("d", "GeV cm-2")):
        factor = f"log10_{kind}factor"
        if f"{kind}_integ" in properties:
            fields[factor] = _log10(properties, f"{kind}_integ", unit, where)
        if f"{kind}_sigma" in properties:
            fields[f"{factor}_err"] = _widths(properties, f"{kind}_sigma", where)
    for field, key in (("distance", "distance"), ("distance_err", "dsigma")):
        if key in properties:
            value = _number(properties[key], key, where)
            fields[field] = None if value is None else value * FIELD_UNITS[field]
    if "ra" in properties or "dec" in properties:
        fields["position"] = _position(properties, where)
    profile = properties.get("profile")
    if profile is not None:
        fields["profile"] = _profile(profile, where)
    if "extension" in properties:
        value = _number(properties["extension"], "extension", where)
        # dmsky's tables hold logarithms, which are negative, but 0 deg for a point
        is_log = value is not None and value < 0
        value = 10**value if is_log else value
        fields["extension"] = None if value is None else value * FIELD_UNITS["extension"]
        if is_log and "extsigma" in properties:
            fields["extension_err_dex"] = _widths(properties, "extsigma", where)
    if properties.get("title") is not None:
        fields["title"] = str(properties["title"])
    if properties.get("type") is not None:
        fields["kind"] = str(properties["type"])
    references = properties.get("references")
    if references:
        references = references if isinstance(references, list) else [references]
        fields["reference"] = "; ".join(str(reference) for reference in references)
    return fields


def _check_spelling(properties, where):
    for key in properties:
        if key in USED or key in UNUSED:
            continue
        meant = look_alike(key, USED)
        if meant is not None:
            raise ValueError(f"{where}: unknown key {key!r}; did you mean {meant!r}?")
        if looks_like_width(str(key)):
            log.warning(
                "%s: the key %r is not used; widths of J and D are called j_sigma and d_sigma",
                where, key,
            )  # fmt: skip
        else:
            log.info("%s: the key %r is not used", where, key)


def _number(value, key, where):
    """A float, or None for what is unknown; YAML gives numbers like 1e18 as text."""
    if value is None or isinstance(value, str) and value.strip().lower() in ("", "~", "null"):
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        text = value.strip().lower() if isinstance(value, str) else value
        number = float("nan" if text == ".nan" else text)
    except (TypeError, ValueError):
        raise ValueError(f"{where}, {key}: expected a number, got {value!r}.") from None
    if math.isinf(number):
        raise ValueError(f"{where}, {key}: expected a finite number, got {value!r}.")
    return None if math.isnan(number) else number


def _log10(properties, key, unit, where):
    value = _number(properties[key], key, where)
    if value is not None and value <= 0:
        raise ValueError(f"{where}, {key}: expected a positive number in {unit}, got {value:g}.")
    return None if value is None else math.log10(value)


def _widths(properties, key, where):
    value = properties[key]
    if not isinstance(value, list):
        value = [value]
    widths = [_number(width, key, where) for width in value]
    if len(widths) not in (1, 2):
        raise ValueError(f"{where}, {key}: expected a width or [low, high], got {value!r}.")
    for width in widths:
        if width is not None and width < 0:
            raise ValueError(f"{where}, {key}: a width must not be negative, got {width:g}.")
    return None if None in widths else widths[0] if len(widths) == 1 else tuple(widths)


def _position(properties, where):
    for key, other in (("ra", "dec"), ("dec", "ra")):
        if key not in properties:
            raise ValueError(f"{where}: there is {other} but not {key}.")
    ra, dec = (_number(properties[key], key, where) for key in ("ra", "dec"))
    if ra is None and dec is None:
        return None
    if ra is None or dec is None:
        raise ValueError(f"{where}: only one of ra and dec is a number.")
    try:
        return make_position(ra, dec)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _profile(profile, where):
    """Profile with units in its values."""
    if isinstance(profile, str):
        return {"type": profile}
    if not isinstance(profile, dict):
        raise ValueError(f"{where}, profile: expected its type and parameters, got {profile!r}.")
    profile = dict(profile)
    units = _profile_units(profile.pop("units", None), where)
    plain = {}
    for key, value in profile.items():
        if key == "type" or isinstance(value, (dict, list)):
            plain[key] = value
            continue
        number = _number(value, f"profile > {key}", where)
        if number is not None:
            plain[key] = u.Quantity(number, units[key]) if key in units else number
    return plain


def _profile_units(name, where):
    """Unit by parameter."""
    if name is None:
        return {}
    density, _, length = str(name).rpartition("_")
    if density not in DENSITY_UNITS or length not in LENGTH_UNITS:
        raise ValueError(
            f"{where}, profile: unknown units {name!r}; expected a density "
            f"({', '.join(DENSITY_UNITS)}) and a length ({', '.join(LENGTH_UNITS)}), for example "
            "msun_kpc3_kpc."
        )
    return dict.fromkeys(LENGTHS, length) | dict.fromkeys(DENSITIES, DENSITY_UNITS[density])
