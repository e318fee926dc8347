"""Limits on ``<sigma v>`` at every pixel of a castro cube: `dark_matter_maps`."""

import astropy.units as u
import numpy as np
from gammapy.maps import LabelMapAxis, MapAxis, WcsNDMap
from joblib import Parallel, delayed

from dmgammapy.datasets.scans import LikelihoodScans
from dmgammapy.utils import progress

from ._conversion import FLUX_UNITS, SpectraKey, convert, unit_flux
from .castro_cube_maps import quantities_of
from .castro_maps import STRENGTH_NAMES, STRENGTH_UNITS
from .castro_slicing import axis_nodes
from .limits import LimitStatus
from .metadata import CastroMetaData

__all__ = ["DarkMatterMaps", "dark_matter_maps"]

# log10 of the J- and D-factor of dmpipe's spectral tables
REFERENCE_FACTORS = {"annihilation": 19.0, "decay": 17.0}
PIXELS_PER_TASK = 64
STRENGTH_QUANTITIES = {"norm": "", "norm_err": "_err", "norm_ul": "_ul"}


def dark_matter_maps(
    cube, masses, channels, log10_jfactor=None, spectra="pppc4", process="annihilation",
    norm_type=None, interpolation=None, k=2, redshift=0.0, cl=0.95, n_jobs=1, show_progress=None,
):  # fmt: skip
    """Best signal strength, its limit and TS for dark matter at every pixel of a cube.

    At each pixel this is what `CastroEstimator` gives for a target of a known J-factor there.

    Parameters
    ----------
    cube : `~dmgammapy.estimators.castro_cube.CastroCube`
    masses : `~astropy.units.Quantity`, shape (n_mass,)
        Ascending.
    channels : list of str or dict
    log10_jfactor : float, optional
        Log10 of the J-factor [GeV2 cm-5] (of the D-factor [GeV cm-2] for decay), without
        uncertainty. Default is 19 (17 for decay). Strengths are inversely proportional to J.
    spectra, process, cl
        As for `CastroEstimator`.
    norm_type, interpolation : str, optional
        Default is that of the cube.
    k : {2, 4}
        2 for a particle that is its own antiparticle, 4 for a Dirac fermion. Default is 2.
    redshift : float
        Default is 0.
    n_jobs : int
        Pixels converted at the same time, in threads. Default is 1; -1 uses all cores.
    show_progress : bool or None
        As for `CastroEstimator`.

    Returns
    -------
    maps : `DarkMatterMaps`

    Raises
    ------
    ValueError
        If a channel or spectra is unknown, masses lie outside the spectra's range, or the cube
        lacks the reference flux for ``norm_type``.
    """
    from .castro import CastroEstimator  # which makes cubes itself

    norm_type = norm_type or cube.norm_type
    interpolation = interpolation or cube.interpolation
    estimator = CastroEstimator(
        masses, channels, spectra=spectra, process=process, norm_type=norm_type,
        interpolation=interpolation, cl=cl,
    )  # fmt: skip
    if k not in (2, 4):
        raise ValueError(f"k must be 2 (self-conjugate) or 4 (Dirac), got {k!r}.")
    if log10_jfactor is None:
        log10_jfactor = REFERENCE_FACTORS[process]
    log10_jfactor = float(log10_jfactor)
    if not np.isfinite(log10_jfactor):
        raise ValueError(f"log10_jfactor must be finite, got {log10_jfactor}.")
    names = tuple(
        tuple(sorted(c.items())) if isinstance(c, dict) else c for c in estimator.channels
    )
    edges, center = (e.to_value("GeV") for e in (cube.energy_edges, cube.energy_ref))
    flux, valid = unit_flux(
        SpectraKey(estimator.spectra), np.ascontiguousarray(edges).tobytes(),
        np.ascontiguousarray(center).tobytes(), estimator.masses.value.tobytes(), names, process,
        norm_type, k if process == "annihilation" else 1, float(redshift),
    )  # fmt: skip
    reference = cube._prototype.ref(norm_type).to_value(FLUX_UNITS[norm_type])
    amplitude = (10.0**log10_jfactor * flux / reference).reshape(-1, cube.n_bins)
    keep = np.ones(cube.n_bins, bool)

    def convert_pixels(pixels):
        rows = []
        for iy, ix in pixels:
            scans = LikelihoodScans(cube.norm_scan[iy, ix], cube.stat_scan[iy, ix], interpolation)
            rows.append(quantities_of(convert(scans, keep, amplitude, 0.0, negative=False), cl))
        return rows

    pixels = np.argwhere(cube.mask)
    tasks = [pixels[i : i + PIXELS_PER_TASK] for i in range(0, len(pixels), PIXELS_PER_TASK)]
    items = progress(tasks, "dark matter maps", show_progress)
    done = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(convert_pixels)(task) for task in items
    )
    rows = [row for part in done for row in part]
    meta = CastroMetaData(
        process=process, instrument=cube.instrument, log10_jfactor=log10_jfactor,
        jfactor_method="fixed", cl=cl, spectra=str(estimator.spectra.name), norm_type=norm_type,
        interpolation=interpolation, k=k if process == "annihilation" else None,
        redshift=float(redshift), origin="CastroCube", notes=_notes(cube, estimator, valid),
    )  # fmt: skip
    return DarkMatterMaps._from_rows(cube, rows, estimator, meta)


def _notes(cube, estimator, valid):
    notes = []
    for label, row in zip(estimator.labels, ~valid, strict=True):
        if row.any():
            values = ", ".join(f"{m:g}" for m in estimator.masses.value[row])
            notes.append(f"no information (below threshold): {label} at {values} GeV.")
    lost = int((~cube.mask).sum())
    if lost:
        notes.append(f"{lost} of {cube.mask.size} pixels are masked.")
    return notes


class DarkMatterMaps:
    """Maps of a dark matter signal for every mass and channel, from `dark_matter_maps`.

    ``maps["sigmav_ul"]`` and so on are `~gammapy.maps.WcsNDMap` with the axes ``mass`` and
    ``channel``; data have the shape (n_channel, n_mass, ny, nx) and are NaN where there is none.

    ============ =============================================================
    name         map
    ============ =============================================================
    sigmav       best ``<sigma v>`` [cm3 s-1]
    sigmav_err   its 1 sigma error
    sigmav_ul    its upper limit at ``meta.cl``
    gamma, ...   the same for decay rates [s-1], and ``tau_ll`` [s]
    ts, sqrt_ts  test statistic of the signal
    status       `LimitStatus` of the limit; NO_INFORMATION at masked pixels
    ============ =============================================================

    Parameters
    ----------
    data : dict of `~gammapy.maps.WcsNDMap`
    meta : `CastroMetaData`

    Examples
    --------
    Three counts over backgrounds of 1 and 2.5 in two pixels:

    >>> import astropy.units as u, numpy as np
    >>> from gammapy.maps import WcsGeom
    >>> from dmgammapy.estimators.castro_cube import CastroCube
    >>> background = np.array([1.0, 2.5]).reshape(1, 2, 1, 1)
    >>> norm = np.broadcast_to(np.linspace(0, 14, 29), (1, 2, 1, 29))
    >>> stat = 2 * (norm - 3 * np.log(background + norm))
    >>> geom, eflux = WcsGeom.create(npix=(2, 1)), [1e-9] * u.Unit("GeV cm-2 s-1")
    >>> stat -= stat.min(axis=-1, keepdims=True)
    >>> cube = CastroCube(geom, [1, 10] * u.GeV, norm, stat, ref_eflux=eflux)
    >>> maps = cube.dark_matter_maps([30, 100] * u.GeV, ["b", "tau"], log10_jfactor=19)
    >>> print(maps["sigmav_ul"].data.shape, maps["ts"].data[0, 0].round(3))
    (2, 2, 1, 2) [[2.592 0.094]]
    """

    def __init__(self, data, meta):
        self._data = dict(data)
        self.meta = meta

    @classmethod
    def _from_rows(cls, cube, rows, estimator, meta):
        mass_axis = MapAxis.from_nodes(estimator.masses, name="mass", interp="log")
        channel_axis = LabelMapAxis(estimator.labels, name="channel")
        geom = cube.geom.to_cube([mass_axis, channel_axis])
        inner = (len(estimator.labels), len(estimator.masses))

        def to_map(name, fill, unit="", dtype=float):
            data = np.full((*inner, *cube.mask.shape), fill, dtype=dtype)
            values = np.array([row[name] for row in rows])
            data[..., cube.mask] = values.T.reshape(*inner, -1)
            return WcsNDMap(geom, data, unit=unit, dtype=dtype)

        strength = STRENGTH_NAMES[meta.process]
        unit = STRENGTH_UNITS[meta.process]
        data = {
            strength + suffix: to_map(name, np.nan, unit)
            for name, suffix in STRENGTH_QUANTITIES.items()
        }
        if meta.process == "decay":
            data["tau_ll"] = WcsNDMap(geom, 1.0 / data["gamma_ul"].data, unit="s")
        data["ts"] = to_map("ts", np.nan)
        data["sqrt_ts"] = WcsNDMap(geom, np.sqrt(data["ts"].data))
        data["status"] = to_map("status", int(LimitStatus.NO_INFORMATION), dtype=int)
        return cls(data, meta)

    def __getitem__(self, name):
        if name not in self._data:
            raise KeyError(f"no map {name!r}; there are {', '.join(self._data)}.")
        return self._data[name]

    def __getattr__(self, name):
        if name in self.__dict__.get("_data", {}):
            return self._data[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self):
        return [*super().__dir__(), *self._data]

    def __contains__(self, name):
        return name in self._data

    def __iter__(self):
        return iter(self._data)

    def keys(self):
        """Names of the maps."""
        return self._data.keys()

    @property
    def geom(self):
        """Geometry with the axes mass and channel."""
        return self._data["ts"].geom

    @property
    def masses(self):
        """Masses, Quantity of shape (n_mass,)."""
        return axis_nodes(self.geom.axes["mass"])

    @property
    def channels(self):
        """Channel labels."""
        return [str(label) for label in self.geom.axes["channel"].center]

    @property
    def limit_name(self):
        """``sigmav_ul``, or ``tau_ll`` for decay."""
        return "tau_ll" if self.meta.process == "decay" else "sigmav_ul"

    def image(self, name, mass=None, channel=None):
        """Image of one mass and channel.

        Parameters
        ----------
        name : str
            Name of the map.
        mass : `~astropy.units.Quantity` or str, optional
            One of the masses, to 1e-6. Default is the only one.
        channel : str, optional
            Default is the only one.

        Returns
        -------
        image : `~gammapy.maps.WcsNDMap`
        """
        mass, channel = self._only(mass, channel)
        value = u.Quantity(mass).to_value("GeV")
        masses = self.masses.to_value("GeV")
        found = np.flatnonzero(np.isclose(masses, value, rtol=1e-6))
        if not len(found):
            raise ValueError(f"no mass {mass}; there are {masses} GeV.")
        if channel not in self.channels:
            raise ValueError(f"no channel {channel!r}; there are {', '.join(self.channels)}.")
        index = {"mass": int(found[0]), "channel": self.channels.index(channel)}
        whole = self[name]
        data = whole.data[index["channel"], index["mass"]].copy()
        return WcsNDMap(whole.geom.to_image(), data, unit=whole.unit, dtype=data.dtype)

    def _only(self, mass, channel):
        """Mass and channel, those not given being the only ones."""
        for name, value, known in (
            ("mass", mass, self.masses), ("channel", channel, self.channels)
        ):  # fmt: skip
            if value is None and len(known) > 1:
                raise ValueError(f"which {name}? There are {', '.join(map(str, known))}.")
        mass = self.masses[0] if mass is None else mass
        return mass, self.channels[0] if channel is None else channel

    def plot(self, mass=None, channel=None, name=None, ax=None, target=None, **kwargs):
        """Draw the image of one mass and channel.

        Parameters
        ----------
        mass, channel
            As for `image`.
        name : str, optional
            Default is the limit.
        ax : `~astropy.visualization.wcsaxes.WCSAxes`, optional
        target : `~dmgammapy.targets.Target` or dict of str to `~astropy.coordinates.SkyCoord`
            Places to mark.
        **kwargs
            Passed to `~dmgammapy.visualization.cube.plot_sky_image`.

        Returns
        -------
        ax : `~astropy.visualization.wcsaxes.WCSAxes`
        """
        from .castro_cube_plots import draw_map

        mass, channel = self._only(mass, channel)
        name = name or self.limit_name
        percent = f"{100 * self.meta.cl:g} %"
        labels = {
            "sigmav": r"Best $\langle\sigma v\rangle$",
            "sigmav_ul": rf"{percent} upper limit on $\langle\sigma v\rangle$",
            "gamma_ul": rf"{percent} upper limit on $\Gamma$",
            "tau_ll": rf"{percent} lower limit on $\tau$",
            "ts": "TS",
            "sqrt_ts": r"$\sqrt{\mathrm{TS}}$",
        }
        kwargs.setdefault("label", labels.get(name, name))
        kwargs.setdefault("log", name.endswith(("_ul", "_ll")))
        letter = "D" if self.meta.process == "decay" else "J"
        factor = rf"$\log_{{10}} {letter}$ = {self.meta.log10_jfactor:g}"
        kwargs.setdefault("title", f"{u.Quantity(mass):g}, {channel}, {factor}")
        return draw_map(self.image(name, mass, channel), ax, target, **kwargs)

    def __repr__(self):
        ny, nx = self.geom.data_shape[-2:]
        m = self.masses.to_value("GeV")
        lines = [
            "DarkMatterMaps",
            "--------------",
            "",
            f"  map           : {nx} x {ny} pixels",
            f"  process       : {self.meta.process}",
            f"  masses        : {len(m)} from {m[0]:g} to {m[-1]:g} GeV",
            f"  channels      : {', '.join(self.channels)}",
            f"  log10_jfactor : {self.meta.log10_jfactor}",
            f"  cl            : {self.meta.cl}",
            f"  maps          : {', '.join(self._data)}",
        ]
        return "\n".join(lines) + "\n"
