"""Container for dark matter likelihood profiles: `CastroMaps`."""

from copy import deepcopy
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.maps import LabelMapAxis, MapAxis, RegionGeom, RegionNDMap

from . import castro_negative
from ._scan_checks import coarse_notes
from .castro_ensemble import CastroEnsemble
from .castro_limits import CastroLimits, estimate_quantities
from .castro_negative import CastroNegative
from .castro_plots import CastroPlots
from .castro_slicing import CastroSlicing, axis_nodes
from .lattice import LatticeProfiles
from .limits import LimitStatus
from .metadata import CastroMetaData

__all__ = ["CastroMaps"]

STRENGTH_UNITS = {"annihilation": u.Unit("cm3 s-1"), "decay": u.Unit("s-1")}
STRENGTH_NAMES = {"annihilation": "sigmav", "decay": "gamma"}

# quantities in units of the reference strength, and those that are plain numbers
NORM_QUANTITIES = (
    "norm", "norm_err", "norm_errn", "norm_errp", "norm_ul", "norm_extrapolated", "norm_gap_min",
    "norm_gap_max",
)  # fmt: skip
PLAIN_QUANTITIES = ("ts", "stat", "stat_null", "status")
REQUIRED = ("reference",)
ZERO_TOLERANCE = 0.01
ZERO_MATTERS = 0.1  # of stat, by which limits change by some per cent
SCAN_AXES = {"stat_scan": "norm", "stat_scan_negative": "norm_negative"}
ALL_QUANTITIES = (
    *REQUIRED, "stat_scan", *NORM_QUANTITIES, *PLAIN_QUANTITIES, "reference_negative",
    "stat_scan_negative",
)  # fmt: skip


def _listed(rows, channels, masses):
    """Channels and masses of the rows (channel, mass) that are True."""
    found = [
        f"{channel} at {', '.join(f'{m:g}' for m in masses[row].to_value('GeV'))} GeV"
        for channel, row in zip(channels, rows, strict=True)
        if row.any()
    ]
    return "; ".join(found)


def _strength_property(quantity, name, process, doc):
    def get(self):
        self._require_process(process, name)
        return self._strength(quantity)

    return property(get, doc=doc)


class CastroMaps(CastroLimits, CastroNegative, CastroEnsemble, CastroSlicing, CastroPlots):
    """Likelihood of ``<sigma v>`` (or of the decay rate) for every mass and channel.

    Sibling of `~gammapy.estimators.FluxMaps`: Gammapy maps on the axes ``mass`` and ``channel``
    (and ``norm`` for the scan). Signal strengths are stored as ``norm`` in units of a reference
    that may differ between masses and channels. Usually made by `CastroEstimator`,
    `StackedDMLikelihood`, `from_scan` or `read`.

    Parameters
    ----------
    data : dict of `~gammapy.maps.Map`
        ``reference`` [cm3 s-1 or s-1] on (mass, channel) and ``stat_scan`` on
        (norm, mass, channel), relative to its minimum; the norm axis begins with 0. The first is
        required; results without the second (bands, ensembles) only hold what was estimated:
        ``norm, norm_err, norm_errn, norm_errp, norm_ul, ts, stat, stat_null, status,
        norm_extrapolated, norm_gap_min, norm_gap_max`` on (mass, channel), and, see
        `has_negative`, ``reference_negative`` and ``stat_scan_negative`` for signals below 0.
    meta : `CastroMetaData` or dict, optional

    Raises
    ------
    ValueError
        If a required quantity or axis is missing, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.estimators import CastroMaps
    >>> sigmav = np.append(0, np.geomspace(1e-28, 1e-22, 241)) * u.Unit("cm3 s-1")
    >>> stat = ((sigmav.value / 1e-26 - 1) ** 2).reshape(1, 1, -1)  # 1 sigma = 1e-26
    >>> castro = CastroMaps.from_scan(sigmav, stat, masses=[100] * u.GeV, channels=["b"])
    >>> print(f"{castro.sigmav_ul.quantity.squeeze():.4g}")  # 1 + sqrt(2.7055)
    2.645e-26 cm3 / s
    """

    tag = "CastroMaps"

    def __init__(self, data, meta=None):
        for name in REQUIRED:
            if name not in data:
                raise ValueError(f"CastroMaps needs the quantity {name!r}, got {sorted(data)}.")
        unknown = sorted(set(data) - set(ALL_QUANTITIES))
        if unknown:
            raise ValueError(
                f"CastroMaps: unknown quantities {unknown}; known are {list(ALL_QUANTITIES)}."
            )
        axes = data["reference"].geom.axes.names
        if axes[:2] != ["mass", "channel"]:
            raise ValueError(f"reference must have the axes ['mass', 'channel', ...], got {axes}.")
        shape = data["reference"].data.shape
        for name, m in data.items():
            expected = [SCAN_AXES[name], *axes] if name in SCAN_AXES else axes
            if m.geom.axes.names != expected:
                raise ValueError(f"{name} must have the axes {expected}, got {m.geom.axes.names}.")
            found = m.data.shape[:-3] + m.data.shape[-2:] if name in SCAN_AXES else m.data.shape
            if found != shape:
                raise ValueError(f"{name} has shape {m.data.shape}, reference has {shape}.")
        if "stat_scan" in data and data["stat_scan"].geom.axes["norm"].center[0] != 0:
            raise ValueError("the norm axis must begin with 0, the profile without signal.")
        castro_negative.check_negative(data)
        self._data = dict(data)
        if meta is None:
            meta = CastroMetaData()
        elif not isinstance(meta, CastroMetaData):
            meta = CastroMetaData(**meta)
        self.meta = meta

    # ---- construction ------------------------------------------------------------------------

    @classmethod
    def from_scan(
        cls,
        sigmav,
        stat,
        masses,
        channels,
        *,
        empty=None,
        extrapolated=None,
        stat_offset=None,
        meta=None,
        **meta_values,
    ):
        """Build the container from any table of likelihood against signal strength.

        Parameters
        ----------
        sigmav : `~astropy.units.Quantity`, shape (n_norm,) or (n_channel, n_mass, n_norm)
            Signal strengths, ascending, [cm3 s-1] (decay rates [s-1] for decay); from negative
            ones on, if known. In the second form the rows must be proportional to each other. A
            missing 0 is added; ``stat`` there is interpolated between its neighbours, or the
            linear continuation of the first two points. Rows where that is lower than all given
            points by more than 0.1 are marked as extrapolated.
        stat : array, shape (n_channel, n_mass, n_norm)
            -2 ln L, on any offset.
        masses : `~astropy.units.Quantity`, shape (n_mass,)
            Ascending.
        channels : list of str
        empty : bool array, shape (n_channel, n_mass), optional
            Rows without information.
        extrapolated : `~astropy.units.Quantity`, shape (n_channel, n_mass), optional
            Strength from which the profile rests on extrapolated input.
        stat_offset : array, shape (n_channel, n_mass), optional
            Added to the absolute ``stat``.
        meta : `CastroMetaData`, optional
        **meta_values
            Fields of `CastroMetaData`, e.g. ``target="draco", log10_jfactor=18.8``.

        Returns
        -------
        castro : `CastroMaps`

        Raises
        ------
        ValueError
            If shapes do not match, values are not finite, or an axis does not ascend.
        """
        meta = CastroMetaData(**meta_values) if meta is None else meta.model_copy(deep=True)
        unit = STRENGTH_UNITS[meta.process]
        strength = u.Quantity(sigmav).to_value(unit)
        stat = np.array(stat, dtype=float)
        masses = np.atleast_1d(u.Quantity(masses))
        channels = [channels] if isinstance(channels, str) else list(channels)
        expected = (len(channels), len(masses), strength.shape[-1])
        if stat.shape != expected:
            raise ValueError(
                f"stat must have the shape (channel, mass, norm) = {expected}, got {stat.shape}."
            )
        if strength.ndim == 1:
            reference = np.full(expected[:2], 1.0)
            nodes = strength
        elif strength.shape == expected:
            reference = strength[..., -1] / strength[0, 0, -1]
            nodes = strength[0, 0]
            if not np.allclose(strength, reference[..., None] * nodes, rtol=1e-6, atol=0):
                raise ValueError(
                    "the strengths of all masses and channels must be proportional to each "
                    "other; interpolate the table onto one grid first."
                )
        else:
            raise ValueError(
                f"sigmav must have the shape ({expected[2]},) or {expected}, got {strength.shape}."
            )
        if not (np.isfinite(strength).all() and np.isfinite(stat).all()):
            raise ValueError("sigmav and stat must be finite.")
        nodes, stat, below = castro_negative.split_scan(nodes, stat)
        if nodes[0] > 0:
            slope = (stat[..., 1] - stat[..., 0]) / (nodes[1] - nodes[0])
            change = slope * nodes[0]
            if np.abs(change).max() > ZERO_TOLERANCE:
                meta.notes = [
                    *meta.notes,
                    f"stat at zero signal is extrapolated by up to {np.abs(change).max():.2g} "
                    f"below the first strength ({nodes[0]:.3g} {unit}); TS is uncertain by it.",
                ]
            zero = stat[..., 0] - change
            unsure = stat.min(axis=-1) - zero > ZERO_MATTERS
            unsure &= ~(np.zeros(expected[:2], bool) if empty is None else np.asarray(empty, bool))
            if unsure.any():
                # every limit is relative to a minimum that the table doesn't reach
                known = u.Quantity(np.inf if extrapolated is None else extrapolated, unit)
                low = np.minimum(known.to_value(unit), 1e-3 * reference * nodes[0])
                extrapolated = u.Quantity(np.where(unsure, low, known.to_value(unit)), unit)
                meta.notes = [
                    *meta.notes,
                    f"limits rest on this extrapolation for {_listed(unsure, channels, masses)}.",
                ]
            stat = np.concatenate([zero[..., None], stat], axis=-1)
            nodes = np.append(0.0, nodes)
        meta.notes = [*meta.notes, *coarse_notes(nodes, stat, empty, channels, masses)]
        pivot = 10.0 ** np.round(0.5 * np.log10(nodes[-1] * nodes[1]))
        return cls._from_arrays(
            nodes / pivot, reference * pivot, stat, masses, channels, empty,
            None if extrapolated is None else u.Quantity(extrapolated).to_value(unit),
            stat_offset, meta,
            below=None if below is None else (below[0] / pivot, reference * pivot, below[1]),
        )  # fmt: skip

    @classmethod
    def _from_lattice(cls, profiles, masses, channels, stat_offset, meta):
        """Build the container from `LatticeProfiles` with rows (channel, mass)."""
        shape = (len(channels), len(masses))
        nodes, reference, stat = profiles.scan()
        return cls._from_arrays(
            nodes, reference.reshape(shape), stat.reshape(*shape, -1), masses, channels,
            profiles.empty.reshape(shape), 10.0 ** profiles.extrapolated.reshape(shape),
            stat_offset, meta, gap=10.0 ** profiles.gap.reshape(*shape, 2),
            below=castro_negative.negative_arrays(profiles.negative, shape),
        )  # fmt: skip

    @classmethod
    def _from_arrays(
        cls, nodes, reference, stat, masses, channels, empty, extrapolated, offset, meta, gap=None,
        below=None,
    ):  # fmt: skip
        shape = reference.shape
        masses = np.atleast_1d(u.Quantity(masses)).to("GeV")
        if not (np.diff(masses.value) > 0).all() or not (masses.value > 0).all():
            raise ValueError(f"masses must be positive and ascend, got {masses}.")
        if len(set(channels)) != len(channels):
            raise ValueError(f"channels must differ from each other, got {channels}.")
        mass_axis = MapAxis.from_nodes(masses, name="mass", interp="log")
        channel_axis = LabelMapAxis(list(channels), name="channel")
        norm_axis = MapAxis.from_nodes(nodes, name="norm", interp="lin")
        geom = RegionGeom(None, axes=[mass_axis, channel_axis])
        geom_scan = RegionGeom(None, axes=[norm_axis, mass_axis, channel_axis])
        empty = np.zeros(shape, bool) if empty is None else np.asarray(empty, dtype=bool)
        stat = np.where(empty[..., None], 0.0, stat)
        ratio = np.full(shape, np.inf) if extrapolated is None else extrapolated / reference
        gap = None if gap is None else gap / reference[..., None]
        arrays = estimate_quantities(nodes, stat, empty, ratio, meta.cl, gap)
        if offset is not None:
            arrays["stat"] = arrays["stat"] + offset
            arrays["stat_null"] = arrays["stat_null"] + offset
        unit = STRENGTH_UNITS[meta.process]
        data = {"reference": RegionNDMap(geom, reference[..., None, None], unit=unit)}
        minimum = np.where(empty, 0.0, arrays.pop("_minimum"))[..., None]
        data["stat_scan"] = RegionNDMap(geom_scan, (stat - minimum)[..., None, None])
        if below is not None:
            negative = np.where(empty[..., None], np.nan, below[2] - minimum)
            data |= castro_negative.negative_maps(*below[:2], negative, geom, unit)
        for name, array in arrays.items():
            data[name] = RegionNDMap(geom, array[..., None, None])
        return cls(data, meta)

    @classmethod
    def from_maps(cls, maps, meta=None):
        """Create from a dict of maps, see the class for names and axes."""
        return cls(dict(maps), meta)

    def to_maps(self):
        """Quantities as a dict of Gammapy maps (copies)."""
        return {name: m.copy() for name, m in self._data.items()}

    # ---- axes and quantities -----------------------------------------------------------------

    @property
    def geom(self):
        """Geometry of the quantities without scan: axes mass, channel."""
        return self._data["reference"].geom

    @property
    def mass_axis(self):
        """Mass axis."""
        return self.geom.axes["mass"]

    @property
    def channel_axis(self):
        """Channel axis."""
        return self.geom.axes["channel"]

    @property
    def norm_axis(self):
        """Axis of the scan: signal strength in units of the reference, beginning with 0."""
        return self._data["stat_scan"].geom.axes["norm"]

    @property
    def masses(self):
        """Masses, `~astropy.units.Quantity` of shape (n_mass,)."""
        return axis_nodes(self.mass_axis)

    @property
    def channels(self):
        """Channel labels."""
        return [str(label) for label in self.channel_axis.center]

    @property
    def process(self):
        """``annihilation`` or ``decay``."""
        return self.meta.process

    @property
    def available_quantities(self):
        """Names of the stored quantities."""
        return list(self._data)

    def __getattr__(self, name):
        if name in ALL_QUANTITIES and "_data" in self.__dict__:
            if name in self._data:
                return self._data[name]
            raise AttributeError(
                f"this CastroMaps has no quantity {name!r}, it has {self.available_quantities}."
            )
        own = getattr(type(self), name, None)
        if isinstance(own, property):  # it raised an AttributeError with more to say
            return own.fget(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self):
        return [*super().__dir__(), *self._data]

    def __getitem__(self, name):
        if name not in self._data:
            raise KeyError(f"no quantity {name!r}; available are {self.available_quantities}.")
        return self._data[name]

    def _require_process(self, process, name):
        if self.process != process:
            raise AttributeError(f"{name} is defined for {process}; this result is {self.process}.")

    def _strength(self, quantity):
        norm = self[quantity]
        unit = self["reference"].unit
        return RegionNDMap(norm.geom, norm.data * self["reference"].data, unit=unit)

    sigmav = _strength_property("norm", "sigmav", "annihilation", "Best ``<sigma v>``, Map.")
    sigmav_err = _strength_property(
        "norm_err", "sigmav_err", "annihilation", "68 % error of ``<sigma v>``, Map."
    )
    sigmav_ul = _strength_property(
        "norm_ul", "sigmav_ul", "annihilation",
        "Upper limit on ``<sigma v>`` at ``meta.cl``, Map; NaN where `status` says so.",
    )  # fmt: skip
    gamma = _strength_property("norm", "gamma", "decay", "Best decay rate, Map [s-1].")
    gamma_ul = _strength_property("norm_ul", "gamma_ul", "decay", "Upper limit on the rate, Map.")

    @property
    def strength(self):
        """Best signal strength, Map: `sigmav` or `gamma`."""
        return self._strength("norm")

    @property
    def strength_ul(self):
        """Upper limit of the signal strength, Map: `sigmav_ul` or `gamma_ul`."""
        return self._strength("norm_ul")

    @property
    def strength_name(self):
        """``sigmav`` or ``gamma``."""
        return STRENGTH_NAMES[self.process]

    @property
    def tau_ll(self):
        """Lower limit on the lifetime, one over the upper limit of the rate, Map [s]."""
        self._require_process("decay", "tau_ll")
        rate = self._strength("norm_ul")
        return RegionNDMap(rate.geom, 1.0 / rate.data, unit="s")

    @property
    def sqrt_ts(self):
        """Local significance, Map."""
        return RegionNDMap(self.geom, np.sqrt(self["ts"].data))

    @property
    def best_fit(self):
        """Best signal strength, Map; 0 where no signal fits best."""
        return self.strength

    @property
    def strength_scan(self):
        """Scanned signal strengths, Quantity of shape (..., channel, mass, norm)."""
        reference = self["reference"].quantity[..., 0, 0]
        return reference[..., None] * self.norm_axis.center.value

    @property
    def sigmav_scan(self):
        """Scanned ``<sigma v>``, Quantity of shape (..., channel, mass, norm)."""
        self._require_process("annihilation", "sigmav_scan")
        return self.strength_scan

    @property
    def delta_stat(self):
        """The scan relative to its minimum, array of shape (..., channel, mass, norm)."""
        return self["stat_scan"].data[..., 0, 0]

    @property
    def is_empty(self):
        """True where the data hold no information, shape (..., channel, mass)."""
        if "status" in self._data:
            return self["status"].data[..., 0, 0] == LimitStatus.NO_INFORMATION
        return np.ptp(self.delta_stat, axis=-1) == 0

    @property
    def _log10_extrapolated(self):
        """log10 of the norm from which scans were extrapolated, inf if none, shape (n_row,)."""
        if "norm_extrapolated" not in self._data:
            return np.full(self["reference"].data.size, np.inf)
        with np.errstate(divide="ignore"):
            return np.log10(self["norm_extrapolated"].data.ravel())

    def copy(self):
        """Deep copy."""
        return self.__class__(
            {name: m.copy() for name, m in self._data.items()}, deepcopy(self.meta)
        )

    # ---- lattice -----------------------------------------------------------------------------

    @property
    def _native_step(self):
        """Mean step of the norm axis in dex."""
        nodes = self.norm_axis.center.value
        return float(np.log10(nodes[-1] / nodes[1]) / (len(nodes) - 2))

    def _to_lattice(self, step):
        nodes, stat, zero = self._rows()
        reference = np.log10(self["reference"].data.ravel())
        beyond = self._log10_extrapolated + reference
        profiles = LatticeProfiles.from_nodes(
            nodes, reference, stat, zero, self.is_empty.ravel(), beyond, step,
            self._log10_gap + reference[:, None],
        )  # fmt: skip
        profiles.negative = self._negative_to_lattice(zero, step)
        return profiles

    def check_compatible(self, other):
        """Raise a ValueError that says how masses, channels or process differ."""
        names = [m.meta.target or m.meta.origin or "a result" for m in (self, other)]
        if self.process != other.process:
            raise ValueError(
                f"{names[0]} is about {self.process}, {names[1]} about {other.process}."
            )
        k = [m.meta.k for m in (self, other)]
        if None not in k and k[0] != k[1]:
            raise ValueError(
                f"{names[0]} was made with k = {k[0]:g}, {names[1]} with k = {k[1]:g} (2 for a "
                "particle that is its own antiparticle, 4 for a Dirac fermion): their sigmav "
                "differ in meaning; convert both with the same k."
            )
        if self.channels != other.channels:
            raise ValueError(
                f"channels differ: {names[0]} has {self.channels}, "
                f"{names[1]} has {other.channels}; slice_by_coord both to the common ones."
            )
        a, b = self.masses.to_value("GeV"), other.masses.to_value("GeV")
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6):
            raise ValueError(
                f"masses differ: {names[0]} has {a} GeV, {names[1]} has {b} GeV; "
                "slice_by_coord both to the common ones."
            )

    # ---- output ------------------------------------------------------------------------------

    def to_table(self):
        """One row per channel and mass.

        Returns
        -------
        table : `~astropy.table.QTable`
            Columns channel, mass [GeV], ``sigmav, sigmav_err, sigmav_ul`` [cm3 s-1] (decay:
            ``gamma`` ... [s-1] and ``tau_ll`` [s]), ts, status (words).
        """
        if self.geom.axes.names != ["mass", "channel"]:
            raise ValueError(
                f"to_table needs the axes mass and channel only, got {self.geom.axes.names}; "
                "use iter_by_axis."
            )
        n_channel, n_mass = len(self.channels), len(self.masses)
        table = QTable()
        table["channel"] = np.repeat(self.channels, n_mass)
        table["mass"] = np.tile(self.masses, n_channel)
        name = self.strength_name
        for column, quantity in (("", "norm"), ("_err", "norm_err"), ("_ul", "norm_ul")):
            table[name + column] = self._strength(quantity).quantity.ravel()
        if self.process == "decay":
            table["tau_ll"] = self.tau_ll.quantity.ravel()
        table["ts"] = self["ts"].data.ravel()
        table["status"] = [LimitStatus(int(s)).name.lower() for s in self["status"].data.ravel()]
        table.meta.update(
            target=self.meta.target,
            instrument=self.meta.instrument,
            process=self.process,
            cl=self.meta.cl,
            jfactor_method=self.meta.jfactor_method,
            log10_jfactor=self.meta.log10_jfactor,
            creator=self.meta.creator,
            notes=list(self.meta.notes),
        )
        return table

    @classmethod
    def read(cls, path, format=None, **kwargs):
        """Read a likelihood table.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        format : str, optional
            ``castro`` (own FITS layout), ``gloryduck``, ``lklcom``, ``dmpipe``. Default is to
            recognise it.
        **kwargs
            Passed to the reader, see `dmgammapy.estimators.io`.
        """
        from .io import read_castro

        return read_castro(Path(path), format=format, **kwargs)

    def write(self, path, format=None, overwrite=False, **kwargs):
        """Write the result; see `read` for the formats. Default is ``castro``."""
        from .io import write_castro

        write_castro(self, Path(path), format=format, overwrite=overwrite, **kwargs)

    def to_hdulist(self):
        """Own FITS layout as an `~astropy.io.fits.HDUList`."""
        from .io.castro import to_hdulist

        return to_hdulist(self)

    @classmethod
    def from_hdulist(cls, hdulist, origin="HDUList"):
        """Inverse of `to_hdulist`."""
        from .io.castro import from_hdulist

        return from_hdulist(hdulist, origin)

    def __repr__(self):
        m = self.masses.to_value("GeV")
        axes = ", ".join(f"{axis.name} ({axis.nbin})" for axis in self.geom.axes)
        scan = []
        if "stat_scan" in self._data:
            scan = [
                f"  norm axis    : {self.norm_axis.nbin} nodes, reference {self.strength_name} in "
                f"{self['reference'].unit}"
            ]
        n_results = len(self.meta.contributors)
        lines = [
            type(self).__name__,
            "-" * len(type(self).__name__),
            "",
            f"  target       : {self.meta.about}"
            + (f", {n_results} results" if n_results > self.meta.n_targets else ""),
            f"  process      : {self.process}",
            f"  axes         : {axes}",
            f"  masses       : {len(m)} from {m[0]:g} to {m[-1]:g} GeV",
            f"  channels     : {', '.join(self.channels)}",
            *scan,
            f"  J treatment  : {self.meta.jfactor_method or 'none yet'}",
            f"  cl           : {self.meta.cl}",
            f"  quantities   : {', '.join(self.available_quantities)}",
        ]
        return "\n".join(lines) + "\n"
