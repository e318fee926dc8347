"""Halo profiles from the texts that tables of targets hold."""

import astropy.units as u

from .halo_profiles import (
    BurkertProfile,
    EinastoProfile,
    GNFWProfile,
    IsothermalProfile,
    NFWProfile,
)

__all__ = ["profile_of_target"]

# type in lower case: class, its shape parameters and those of them that must be there
KINDS = {
    "nfw": (NFWProfile, (), ()),
    "gnfw": (GNFWProfile, ("gamma",), ("gamma",)),
    "zhao": (GNFWProfile, ("alpha", "beta", "gamma"), ("alpha", "beta", "gamma")),
    "einasto": (EinastoProfile, ("alpha",), ("alpha",)),
    "burkert": (BurkertProfile, (), ()),
    "isothermal": (IsothermalProfile, (), ()),
}
NAMES = {"rhos": "rho_s", "rs": "r_s", "rmin": "r_core", "rmax": "r_max"}
NUMBERS = ("alpha", "beta", "gamma")


def profile_of_target(target):
    """Profile of a target, and its r_max or None."""
    where = f"target {target.key}"
    if not target.profile:
        raise ValueError(
            f"{where}: no profile; give it with target.copy(profile={{'type': 'NFW', 'rhos': "
            "'1e8 Msun kpc-3', 'rs': '0.5 kpc'})."
        )
    values = {NAMES.get(key, key): value for key, value in target.profile.items()}
    kind = values.pop("type", None)
    if str(kind).lower() not in KINDS:
        raise ValueError(
            f"{where}: the type of the profile is {kind!r}; expected one of "
            f"{', '.join(item[0].__name__[:-7] for item in KINDS.values())}, or Zhao."
        )
    cls, shape, needed = KINDS[str(kind).lower()]
    missing = [name for name in ("rho_s", "r_s", *needed) if name not in values]
    unknown = sorted(set(values) - {"rho_s", "r_s", "r_core", "r_max", *shape})
    if missing or unknown:
        raise ValueError(
            f"{where}: the profile {kind} "
            + " and ".join(
                f"{text} {', '.join(names)}"
                for text, names in (("lacks", missing), ("has the unknown", unknown))
                if names
            )
            + f"; found {', '.join(target.profile)}. A table that gives just the type says nothing "
            "about the halo's size; see the roster martinez2015_nfw for some that do."
        )
    try:
        quantities = {
            key: float(value) if key in NUMBERS else u.Quantity(value)
            for key, value in values.items()
        }
        r_max = quantities.pop("r_max", None)
        return cls(**quantities), r_max
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: the profile {target.profile}: {error}") from None
