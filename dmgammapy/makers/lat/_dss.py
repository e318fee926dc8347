"""Data selection keywords (DSS) of LAT files: what has been cut already."""

import logging
from dataclasses import asdict, dataclass, field, fields, replace

from astropy.io import fits

from ._cones import cone_text, fewest_cones, narrowed_cones
from ._cuts import (
    common_range,
    contains_class,
    contains_type,
    describe_class,
    describe_type,
    least,
    narrowed_energy,
    wider,
)
from ._dss_keys import (
    DSS_KEY,
    number_text,
    numbered_keys,
    parse_key,
    parse_phases,
    range_text,
)

__all__ = ["LATDataSelection"]

log = logging.getLogger(__name__)

PHASE = "PULSE_PHASE"
NO_ZENITH_CUT = 180.0  # deg


@dataclass(frozen=True)
class LATDataSelection:
    """What a LAT file contains: class, type, energies, zenith angles, cone.

    Attributes
    ----------
    event_class : int or None
        Bit mask of event classes, None when nothing was cut.
    event_type : int or None
        Bit mask of event types.
    pass_version : str or None
        Event reconstruction, "P8R3".
    energy : (float, float) or None
        Range [MeV]; the lower limit is excluded, the upper one included.
    zenith_max : float or None
        Largest zenith angle [deg]; 180 deg is no cut, None.
    cone : (float, float, float) or None
        Right ascension, declination and radius [deg]; of several the smallest, see `cones`.
    irfs : str or None
        Response, "P8R3_SOURCE_V3"; in binned products.
    time : (float, float) or None
        Range of a query, in mission elapsed time [s]; the good times are within it.
    other : tuple of dict
        Keys of other kinds as they are: ``DSTYP, DSUNI, DSVAL, DSREF``.
    more_cones : tuple of (float, float, float)
        Further ones that cross ``cone`` and each other.

    Raises
    ------
    ValueError
        If two cones have nothing in common.

    Examples
    --------
    >>> from dmgammapy.makers.lat._dss import LATDataSelection
    >>> selection = LATDataSelection(event_class=128, event_type=3, pass_version="P8R3",
    ...                              energy=(100.0, 1e6), zenith_max=100.0)
    >>> print(selection.narrowed(energy=(500.0, 5e5), zenith_max=90.0))
    SOURCE (128), FRONT+BACK (3), 500 < E <= 500000 MeV, zenith <= 90 deg
    """

    event_class: int | None = None
    event_type: int | None = None
    pass_version: str | None = None
    energy: tuple | None = None
    zenith_max: float | None = None
    cone: tuple | None = None
    irfs: str | None = None
    time: tuple | None = None
    other: tuple = field(default=())
    more_cones: tuple = ()

    def __post_init__(self):
        if self.zenith_max is not None and self.zenith_max >= NO_ZENITH_CUT:
            object.__setattr__(self, "zenith_max", None)
        given = (self.cone, *self.more_cones)
        cones = fewest_cones(cone for cone in given if cone is not None)
        object.__setattr__(self, "cone", cones[0] if cones else None)
        object.__setattr__(self, "more_cones", cones[1:])

    def __str__(self):
        parts = [describe_class(self.event_class), describe_type(self.event_type)]
        if self.energy is not None:
            parts.append(f"{self.energy[0]:g} < E <= {self.energy[1]:g} MeV")
        if self.zenith_max is not None:
            parts.append(f"zenith <= {self.zenith_max:g} deg")
        parts.extend(f"{cone_text(cone)} deg" for cone in self.cones)
        parts.extend(f"{key['DSTYP']} {key.get('DSVAL', '')}" for key in self.other)
        return ", ".join(parts)

    @property
    def cones(self):
        """All cones, tuple of (ra, dec, radius) [deg]; the events are in every one of them."""
        return () if self.cone is None else (self.cone, *self.more_cones)

    @property
    def unknown_cuts(self):
        """Cuts that no exposure can take into account, tuple of str: ``("THETA 0:20",)``."""
        return tuple(
            f"{key['DSTYP']} {key.get('DSVAL', '')}".strip()
            for key in self.other
            if key["DSTYP"] != PHASE
        )

    @classmethod
    def from_header(cls, header, source="header"):
        """Read the DSS keywords.

        Parameters
        ----------
        header : `~astropy.io.fits.Header`
            Of the EVENTS table, or the primary one of a binned product.
        source : str or `~pathlib.Path`
            For messages.

        Returns
        -------
        selection : `LATDataSelection`

        Raises
        ------
        ValueError
            If there are none, a value can't be understood, or keys contradict each other.
        """
        keys = numbered_keys(header)
        if not keys:
            raise ValueError(
                f"{source}: no DSS keywords (DSTYP1, DSVAL1, ...), so what has been cut is "
                "unknown. Expected those that gtselect or the FSSC write; state the cuts with "
                "selection=LATDataSelection(...)."
            )
        version = str(header.get("PASS_VER", "")).strip()
        selection = cls(pass_version=version if version not in ("", "NONE") else None)
        for number, key in keys.items():
            try:
                selection = selection._with_key(key)
            except ValueError as error:
                raise ValueError(
                    f"{source}, DSTYP{number} = {key['DSTYP']!r}, "
                    f"DSVAL{number} = {key.get('DSVAL')!r}: {error}"
                ) from error
        return selection

    def _with_key(self, key):
        """Selection with one more key."""
        known = parse_key(key)
        if known is not None:
            return self.intersect(LATDataSelection(**known))
        selection = replace(self, other=(*self.other, key))
        if key["DSTYP"] == PHASE:
            parse_phases(selection._phase_texts)
        else:
            log.warning(
                "DSS key %s = %s is a cut that responses and livetime know nothing of: exposure "
                "computed for these events is too large.",
                key["DSTYP"],
                key.get("DSVAL"),
            )
        return selection

    def to_header(self, header=None):
        """Write the DSS keywords, those there are replaced.

        Parameters
        ----------
        header : `~astropy.io.fits.Header`, optional
            To change. Default is a new one.

        Returns
        -------
        header : `~astropy.io.fits.Header`
        """
        header = fits.Header() if header is None else header
        for name in [card.keyword for card in header.cards]:
            if DSS_KEY.fullmatch(name) or name == "NDSKEYS":
                header.remove(name, ignore_missing=True, remove_all=True)
        keys = self._keys()
        for number, key in enumerate(keys, start=1):
            for name in ("DSTYP", "DSUNI", "DSVAL", "DSREF"):
                if name in key:
                    header[f"{name}{number}"] = key[name]
        header["NDSKEYS"] = len(keys)
        return header

    def _keys(self):
        """DSS keys in the Science Tools' layout."""
        version = "" if self.pass_version is None else f",{self.pass_version}"
        keys = []

        def add(kind, unit, value, **more):
            keys.append({"DSTYP": kind, "DSUNI": unit, "DSVAL": value, **more})

        if self.event_class is not None:
            add(f"BIT_MASK(EVENT_CLASS,{self.event_class}{version})", "DIMENSIONLESS", "1:1")
        if self.event_type is not None:
            add(f"BIT_MASK(EVENT_TYPE,{self.event_type}{version})", "DIMENSIONLESS", "1:1")
        add("TIME", "s", "TABLE", DSREF=":GTI")
        if self.time is not None:
            add("TIME", "s", range_text(self.time))
        for cone in self.cones:
            add("POS(RA,DEC)", "deg", "CIRCLE({},{},{})".format(*map(number_text, cone)))
        if self.energy is not None:
            add("ENERGY", "MeV", range_text(self.energy))
        if self.zenith_max is not None:
            add("ZENITH_ANGLE", "deg", range_text((0.0, self.zenith_max)))
        if self.irfs is not None:
            add("IRF_VERSION", "DIMENSIONLESS", self.irfs)
        return keys + [dict(key) for key in self.other]

    def narrowed(self, event_class=None, event_type=None, energy=None, zenith_max=None, cone=None):
        """Selection after further cuts, none of which may be wider than what is there.

        Parameters
        ----------
        event_class, event_type : int, optional
            Bit masks.
        energy : (float or None, float or None), optional
            Range [MeV].
        zenith_max : float, optional
            Angle [deg].
        cone : (float, float, float), optional
            Right ascension, declination, radius [deg]. Where it crosses a cone that is there,
            both are kept.

        Returns
        -------
        selection : `LATDataSelection`

        Raises
        ------
        ValueError
            If a cut is wider than the selection, whose events outside are gone, or has nothing in
            common with it; both are named.
        """
        result = self
        for name, mask, contains, describe in (
            ("event_class", event_class, contains_class, describe_class),
            ("event_type", event_type, contains_type, describe_type),
        ):
            there = getattr(self, name)
            if mask is None:
                continue
            if not contains(there, mask):
                raise wider(name.replace("_", " "), describe(there), describe(mask))
            result = replace(result, **{name: int(mask)})
        if energy is not None:
            result = replace(result, energy=narrowed_energy(self.energy, energy))
        if zenith_max is not None:
            # a limit that was converted from another unit is the same limit
            if self.zenith_max is not None and zenith_max > self.zenith_max * (1 + 1e-9):
                raise wider(
                    "zenith angle", f"up to {self.zenith_max:g} deg", f"up to {zenith_max:g} deg"
                )
            result = replace(result, zenith_max=float(zenith_max))
        if cone is not None:
            first, *more = narrowed_cones(self.cones, cone)
            result = replace(result, cone=first, more_cones=tuple(more))
        return result

    def with_phase(self, ranges):
        """Selection of ranges of the pulsar's phase, kept as a PULSE_PHASE key.

        Parameters
        ----------
        ranges : list of (float, float)
            Ascending, from 0 to 1.

        Returns
        -------
        selection : `LATDataSelection`

        Raises
        ------
        ValueError
            If phases have been cut already.
        """
        if self._phase_texts:
            raise ValueError(
                f"phase: the events are of {self._phase_texts[0]}; cut phases once, in one step."
            )
        key = {
            "DSTYP": PHASE,
            "DSUNI": "DIMENSIONLESS",
            "DSVAL": ",".join(range_text(limits) for limits in ranges),
        }
        return replace(self, other=(*self.other, key))

    @property
    def phase_fraction(self):
        """Part of the pulsar's phase that is selected, 1 without such a cut."""
        return sum(high - low for low, high in parse_phases(self._phase_texts))

    @property
    def _phase_texts(self):
        """Values of PULSE_PHASE keys."""
        return [key.get("DSVAL", "") for key in self.other if key["DSTYP"] == PHASE]

    def intersect(self, other):
        """Selection of what is in both.

        Parameters
        ----------
        other : `LATDataSelection`

        Returns
        -------
        selection : `LATDataSelection`

        Raises
        ------
        ValueError
            If nothing is in both, or what is can't be said by one selection.
        """
        if None not in (self.pass_version, other.pass_version) and (
            self.pass_version != other.pass_version
        ):
            raise ValueError(
                f"pass versions {self.pass_version} and {other.pass_version} have no event in "
                "common."
            )
        result = replace(
            self,
            pass_version=self.pass_version or other.pass_version,
            irfs=self.irfs or other.irfs,
            energy=common_range(self.energy, other.energy, "energy [MeV]"),
            zenith_max=least(self.zenith_max, other.zenith_max),
            time=common_range(self.time, other.time, "time [s]"),
            other=self.other + tuple(key for key in other.other if key not in self.other),
            cone=None,
            more_cones=(*self.cones, *other.cones),
        )
        for name in ("event_class", "event_type"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if theirs is None or mine == theirs:
                continue
            try:
                result = result.narrowed(**{name: theirs})
            except ValueError as error:
                # the other may be the wider one
                try:
                    other.narrowed(**{name: mine})
                except ValueError:
                    raise error from None
        return result

    def to_dict(self):
        """Plain dictionary, for metadata and YAML; see `from_dict`."""
        values = asdict(self)
        for name in ("energy", "cone", "time", "other"):
            if values[name] is not None:
                values[name] = list(values[name])
        values["more_cones"] = [list(cone) for cone in self.more_cones]
        return {name: value for name, value in values.items() if value not in (None, [])}

    @classmethod
    def from_dict(cls, data):
        """Selection of a dictionary made by `to_dict`.

        Parameters
        ----------
        data : dict

        Returns
        -------
        selection : `LATDataSelection`

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        known = {item.name for item in fields(cls)}
        unknown = set(data) - known
        if unknown:
            raise ValueError(f"unknown {sorted(unknown)}; a selection has {sorted(known)}.")
        values = dict(data)
        for name in ("energy", "cone", "time"):
            if values.get(name) is not None:
                values[name] = tuple(float(value) for value in values[name])
        values["more_cones"] = tuple(map(tuple, values.get("more_cones", ())))
        values["other"] = tuple(dict(key) for key in values.get("other", ()))
        return cls(**values)
