"""The same scan at every pixel of a map: `CastroCube`."""

from copy import deepcopy
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.maps import WcsGeom

from dmgammapy.datasets import SEDLikelihoodDataset
from dmgammapy.datasets._sed_checks import check_scans
from dmgammapy.targets import Target

from .castro_cube_dark_matter import dark_matter_maps
from .castro_cube_maps import FIT_ESTIMATES, CastroCubeMaps
from .castro_cube_plots import CastroCubePlots
from .castro_cube_slicing import REFERENCES, CastroCubeSlicing

__all__ = ["CastroCube"]


def _frozen(values):
    values = np.array(values, dtype=float)
    values.setflags(write=False)
    return values


def _shaped(array, shape, name, meaning):
    array = _frozen(array)
    if array.shape != tuple(shape):
        raise ValueError(
            f"CastroCube: {name} must have the shape {meaning} = {tuple(shape)}, got {array.shape}."
        )
    return array


def _forwarded(name, doc):
    """Property that all pixels share."""
    return property(lambda self: getattr(self._prototype, name), doc=doc)


class CastroCube(CastroCubeMaps, CastroCubeSlicing, CastroCubePlots):
    """Bin-by-bin likelihood of a source at every pixel of a map.

    A test source is put at each pixel and its flux scanned in each energy bin. The TS map, limits
    on the flux and on ``<sigma v>``, and the likelihood of a target at any position follow.
    fermipy calls this a TS cube.

    Parameters
    ----------
    geom : `~gammapy.maps.WcsGeom`
        Geometry of the map, a 2D image of shape (ny, nx).
    energy_edges : `~astropy.units.Quantity`, shape (n_bins + 1,)
        Ascending bin edges.
    norm_scan : array, shape (ny, nx, n_bins, n_points)
        Norms, ascending along the last axis; at least 3. Bins with fewer points end in NaN.
    stat_scan : array, shape (ny, nx, n_bins, n_points)
        -2 ln L at these norms, relative to the minimum of the bin.
    stat : array, shape (ny, nx, n_bins), optional
        Absolute -2 ln L at the minima.
    norm, norm_err, norm_ul, ts : array, shape (ny, nx, n_bins), optional
        Best norm >= 0, its error, its upper limit at ``cl``, and TS of each bin. Default is to
        compute them from the scans.
    ref_flux, ref_eflux, ref_dnde : `~astropy.units.Quantity`, shape (n_bins,), optional
        Flux [cm-2 s-1], energy flux [MeV cm-2 s-1] and differential flux [MeV-1 cm-2 s-1] of
        norm 1. The one of ``norm_type`` is needed; missing ones follow from ``reference_model``.
    ref_npred : array, shape (n_bins,) or (ny, nx, n_bins), optional
        Predicted counts of norm 1.
    energy_ref : `~astropy.units.Quantity`, shape (n_bins,), optional
        Default is the geometric centre of each bin.
    norm_type : {"eflux", "flux", "dnde"}
        Which flux of a model is compared with its reference. Default is ``eflux``.
    interpolation : {"poisson", "cubic", "linear"}
        See `~dmgammapy.datasets.LikelihoodScans`. Default is ``poisson``.
    reference_model : `~gammapy.modeling.models.SpectralModel` or dict, optional
        Spectrum of norm 1.
    instrument : str, optional
    mask : bool array, shape (ny, nx), optional
        Pixels that were computed; what the others hold is not looked at. Default is all.
    cl : float
        Confidence level of the upper limits. Default is 0.95.
    meta : dict, optional
        Free information that goes into files (what JSON can hold).
    fit : dict of arrays, shape (ny, nx), optional
        Fit of the reference spectrum to all bins together: any of ``ts, norm, norm_err, norm_errp,
        norm_errn, norm_ul``, at least ``ts``. Default is to compute it from the scans.

    Raises
    ------
    ValueError
        If shapes do not fit, a scan is not usable (the message names pixel and bin), or references
        contradict each other.

    Examples
    --------
    Three counts over a background that grows from left to right:

    >>> import astropy.units as u, numpy as np
    >>> from gammapy.maps import WcsGeom
    >>> from dmgammapy.estimators.castro_cube import CastroCube
    >>> geom = WcsGeom.create(npix=(2, 1), binsz=0.5)
    >>> background = np.array([1.0, 2.5]).reshape(1, 2, 1, 1)
    >>> norm = np.broadcast_to(np.linspace(0, 14, 29), (1, 2, 1, 29))
    >>> stat = 2 * (norm - 3 * np.log(background + norm))
    >>> cube = CastroCube(
    ...     geom, [1, 10] * u.GeV, norm, stat - stat.min(axis=-1, keepdims=True),
    ...     ref_eflux=[1e-9] * u.Unit("GeV cm-2 s-1"),
    ... )
    >>> print(cube.norm.data.round(3), cube.ts_map().data.round(3))
    [[[2.  0.5]]] [[2.592 0.094]]
    >>> castro = cube.to_castro(geom.center_skydir, log10_jfactor=19, masses=[100] * u.GeV,
    ...                         channels=["b"])
    >>> castro.sigmav_ul.quantity.shape
    (1, 1, 1, 1)
    """  # fmt: skip

    tag = "CastroCube"

    def __init__(
        self,
        geom,
        energy_edges,
        norm_scan,
        stat_scan,
        stat=None,
        norm=None,
        norm_err=None,
        norm_ul=None,
        ts=None,
        ref_flux=None,
        ref_eflux=None,
        ref_dnde=None,
        ref_npred=None,
        energy_ref=None,
        norm_type="eflux",
        interpolation="poisson",
        reference_model=None,
        instrument=None,
        mask=None,
        cl=0.95,
        meta=None,
        fit=None,
    ):
        if not isinstance(geom, WcsGeom) or not geom.is_image or not geom.is_regular:
            raise ValueError(
                f"CastroCube: geom must be a regular 2D WcsGeom, got {type(geom).__name__}"
                f"{f' with axes {geom.axes.names}' if getattr(geom, 'axes', None) else ''}; "
                "geom.to_image() drops axes."
            )
        self._geom = geom
        if not 0.5 < cl < 1:
            raise ValueError(f"CastroCube: cl must lie between 0.5 and 1, got {cl}.")
        self.cl = float(cl)
        self._norm_scan, self._stat_scan = _frozen(norm_scan), _frozen(stat_scan)
        shape = self._norm_scan.shape
        if len(shape) != 4 or shape[:2] != geom.data_shape or self._stat_scan.shape != shape:
            raise ValueError(
                "CastroCube: norm_scan and stat_scan must have the shape (ny, nx, n_bins, "
                f"n_points) with (ny, nx) = {geom.data_shape}, got {shape} and "
                f"{self._stat_scan.shape}."
            )
        self._mask = self._checked_mask(mask)
        self._check_scans(np.atleast_1d(energy_edges))
        per_pixel = ref_npred is not None and np.ndim(ref_npred) == 3
        iy, ix = np.argwhere(self._mask)[0]
        # one pixel's dataset checks what all pixels share: energies and references
        self._prototype = SEDLikelihoodDataset(
            energy_edges, self._norm_scan[iy, ix], self._stat_scan[iy, ix],
            ref_flux=ref_flux, ref_eflux=ref_eflux, ref_dnde=ref_dnde,
            ref_npred=None if per_pixel else ref_npred, energy_ref=energy_ref,
            norm_type=norm_type, interpolation=interpolation, reference_model=reference_model,
            instrument=instrument, meta=meta, name="castro cube",
        )  # fmt: skip
        self._ref_npred = self._per_bin(ref_npred, "ref_npred") if per_pixel else None
        self._stat = None if stat is None else self._per_bin(stat, "stat")
        values = {"norm": norm, "norm_err": norm_err, "norm_ul": norm_ul, "ts": ts}
        self._given = {
            name: self._per_bin(array, name, finite=False)
            for name, array in values.items()
            if array is not None
        }
        unknown = sorted(set(fit or {}) - set(FIT_ESTIMATES))
        if unknown:
            raise ValueError(f"CastroCube: fit has {unknown}; it may have {list(FIT_ESTIMATES)}.")
        if fit and "ts" not in fit:
            raise ValueError(f"CastroCube: fit needs 'ts', got {sorted(fit)}.")
        self._given_fit = {
            name: _shaped(array, geom.data_shape, f"fit[{name!r}]", "(ny, nx)")
            for name, array in (fit or {}).items()
        }
        self._computed = {}

    # ---- checks ------------------------------------------------------------------------------

    def _checked_mask(self, mask):
        shape = self._geom.data_shape
        mask = np.ones(shape, bool) if mask is None else np.array(mask)
        if mask.shape != shape or mask.dtype != bool:
            raise ValueError(
                f"CastroCube: mask must be booleans of shape (ny, nx) = {shape}, got {mask.dtype} "
                f"of shape {mask.shape}."
            )
        if not mask.any():
            raise ValueError("CastroCube: all pixels are masked; there is nothing to hold.")
        mask.setflags(write=False)
        return mask

    def _check_scans(self, energy_edges):
        n_bins, n_points = self._norm_scan.shape[2:]
        if len(energy_edges) != n_bins + 1:
            raise ValueError(
                f"CastroCube: scans of {n_bins} bins need {n_bins + 1} energy_edges, "
                f"got {len(energy_edges)}."
            )
        pixels = np.argwhere(self._mask)

        def place(row):
            iy, ix = pixels[row // n_bins]
            return f"pixel (iy, ix) = ({iy}, {ix}), bin {row % n_bins}"

        norm, stat = (
            s[self._mask].reshape(-1, n_points) for s in (self._norm_scan, self._stat_scan)
        )
        lost = np.flatnonzero(np.isnan(norm).all(axis=1) & np.isnan(stat).all(axis=1))
        if len(lost):
            raise ValueError(
                f"CastroCube, {place(int(lost[0]))}: no scan, only NaN. Leave pixels that were not "
                "computed out with mask=."
            )
        check_scans(norm, stat, "CastroCube", place)

    def _per_bin(self, array, name, finite=True):
        array = _shaped(array, self._norm_scan.shape[:3], name, "(ny, nx, n_bins)")
        bad = ~np.isfinite(array) & self._mask[..., None]
        if finite and bad.any():
            iy, ix, b = np.argwhere(bad)[0]
            raise ValueError(
                f"CastroCube, pixel (iy, ix) = ({iy}, {ix}), bin {b}: {name} must be finite, got "
                f"{array[iy, ix, b]}."
            )
        return array

    # ---- what it holds -----------------------------------------------------------------------

    @property
    def geom(self):
        """Geometry of the map, a 2D `~gammapy.maps.WcsGeom`."""
        return self._geom

    @property
    def mask(self):
        """Pixels that were computed (read-only), shape (ny, nx)."""
        return self._mask

    @property
    def norm_scan(self):
        """Scanned norms (read-only), shape (ny, nx, n_bins, n_points)."""
        return self._norm_scan

    @property
    def stat_scan(self):
        """-2 ln L relative to each bin's minimum (read-only), shape of `norm_scan`."""
        return self._stat_scan

    @property
    def stat(self):
        """Absolute -2 ln L at the minima, shape (ny, nx, n_bins), or None."""
        return self._stat

    @property
    def ref_npred(self):
        """Predicted counts of norm 1, shape (n_bins,) or (ny, nx, n_bins), or None."""
        return self._prototype.ref_npred if self._ref_npred is None else self._ref_npred

    @property
    def n_bins(self):
        """Number of energy bins."""
        return self._norm_scan.shape[2]

    energy_edges = _forwarded("energy_edges", "Bin edges, Quantity of shape (n_bins + 1,).")
    energy_ref = _forwarded("energy_ref", "Energy at which ``ref_dnde`` holds, shape (n_bins,).")
    ref_flux = _forwarded("ref_flux", "Flux of norm 1 [cm-2 s-1], shape (n_bins,), or None.")
    ref_eflux = _forwarded("ref_eflux", "Energy flux of norm 1 [MeV cm-2 s-1], or None.")
    ref_dnde = _forwarded("ref_dnde", "Differential flux of norm 1 [MeV-1 cm-2 s-1], or None.")
    norm_type = _forwarded("norm_type", "Which flux of a model is compared with its reference.")
    interpolation = _forwarded("interpolation", "How scans are interpolated.")
    reference_model = _forwarded("reference_model", "Spectrum of norm 1, or None.")
    instrument = _forwarded("instrument", "Instrument, or None.")
    meta = _forwarded("meta", "Free information, a dict.")

    # ---- one position ------------------------------------------------------------------------

    def _index(self, position, idx):
        """Pixel (iy, ix) of a position or an index, which must have been computed."""
        if (position is None) == (idx is None):
            raise ValueError("CastroCube: give either a position or idx=(iy, ix).")
        ny, nx = self._geom.data_shape
        if idx is None:
            position = SkyCoord(position)
            if position.size != 1:
                raise ValueError(f"CastroCube: one position at a time, got {position.size}.")
            ix, iy = (int(np.ravel(i)[0]) for i in self._geom.coord_to_idx(position.reshape(())))
            where = f"position {position.to_string('decimal', precision=4)} ({position.frame.name})"
        else:
            iy, ix = (int(i) for i in idx)
            where = f"idx {(iy, ix)}"
        if not (0 <= iy < ny and 0 <= ix < nx):
            center = self._geom.center_skydir
            width, height = (f"{w[0]:.3g}" for w in self._geom.width)
            raise ValueError(
                f"CastroCube: {where} lies outside the map of {nx} x {ny} pixels ({width} x "
                f"{height} around {center.to_string('decimal', precision=4)}, {center.frame.name})."
            )
        if not self._mask[iy, ix]:
            raise ValueError(
                f"CastroCube: {where} falls on pixel (iy, ix) = ({iy}, {ix}), which is masked: it "
                "was not computed."
            )
        return iy, ix

    def _pixel_fields(self, iy, ix):
        """Arguments of `SEDLikelihoodDataset` for a pixel."""
        fields = self._prototype._fields()
        fields |= {
            "norm_scan": self._norm_scan[iy, ix],
            "stat_scan": self._stat_scan[iy, ix],
            "stat": None if self._stat is None else self._stat[iy, ix],
        }
        if self._ref_npred is not None:
            fields["ref_npred"] = self._ref_npred[iy, ix]
        return fields

    def get_dataset(self, position=None, models=None, name=None, idx=None):
        """Likelihood of a source at one position: that of the nearest pixel.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`
            In any frame.
        models : `~gammapy.modeling.models.Models`, optional
            For example from `~dmgammapy.targets.Target.to_models`.
        name : str, optional
            Default is ``pixel_<iy>_<ix>``.
        idx : (int, int), optional
            Pixel (iy, ix), instead of a position.

        Returns
        -------
        dataset : `~dmgammapy.datasets.SEDLikelihoodDataset`
            ``meta["pixel"]`` has its index and the centre of the pixel.

        Raises
        ------
        ValueError
            If the position lies outside the map, or on a masked pixel.
        """
        iy, ix = self._index(position, idx)
        fields = self._pixel_fields(iy, ix)
        center = self._geom.pix_to_coord((ix, iy))
        pixel = {
            "idx": [iy, ix],
            "frame": self._geom.frame,
            "lon_deg": float(center[0].to_value("deg")),
            "lat_deg": float(center[1].to_value("deg")),
        }
        fields["meta"] = deepcopy(self.meta) | {"pixel": pixel}
        return SEDLikelihoodDataset(**fields, models=models, name=name or f"pixel_{iy}_{ix}")

    def iter_datasets(self):
        """Datasets of all computed pixels, row by row."""
        for iy, ix in np.argwhere(self._mask):
            yield self.get_dataset(idx=(iy, ix))

    def to_castro(
        self, position=None, target=None, log10_jfactor=None, masses=None, channels=None,
        estimator=None, idx=None, **kwargs,
    ):  # fmt: skip
        """Likelihood of ``<sigma v>`` for a target at one position.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord`, optional
            Default is that of the target.
        target : `~dmgammapy.targets.Target`, optional
            Its J-factor and prior are used.
        log10_jfactor : float, optional
            Log10 of J [GeV2 cm-5] (of D [GeV cm-2] for decay), instead of a target.
        masses, channels, **kwargs
            As for `CastroEstimator`.
        estimator : `CastroEstimator`, optional
            Instead of these.
        idx : (int, int), optional
            Pixel (iy, ix), instead of a position.

        Returns
        -------
        castro : `CastroMaps`
        """
        from .castro import CastroEstimator  # which makes cubes itself

        if estimator is None:
            if masses is None or channels is None:
                raise ValueError("CastroCube.to_castro needs masses and channels, or an estimator.")
            kwargs.setdefault("norm_type", self.norm_type)
            kwargs.setdefault("cl", self.cl)
            estimator = CastroEstimator(masses, channels, **kwargs)
        elif masses is not None or channels is not None or kwargs:
            raise ValueError("CastroCube.to_castro: the estimator has masses and channels already.")
        if (target is None) == (log10_jfactor is None):
            raise ValueError("CastroCube.to_castro: give either a target or log10_jfactor.")
        if position is None and idx is None and target is not None:
            position = target.position
            if position is None:
                raise ValueError(f"target {target.name!r} has no position; give one.")
        if target is None:
            iy, ix = self._index(position, idx)
            factor = "log10_jfactor" if estimator.process == "annihilation" else "log10_dfactor"
            target = Target(name=f"pixel_{iy}_{ix}", **{factor: float(log10_jfactor)})
        models = target.to_models(
            estimator.masses[0], estimator.channels[0], process=estimator.process,
            spectra=estimator.spectra, spatial=None,
        )  # fmt: skip
        return estimator.run(self.get_dataset(position, models=models, idx=idx))

    def dark_matter_maps(self, masses, channels, log10_jfactor=None, **kwargs):
        """Best ``<sigma v>`` (or decay rate), its limit and TS at every pixel.

        Parameters
        ----------
        masses : `~astropy.units.Quantity`, shape (n_mass,)
        channels : list of str or dict
        log10_jfactor : float, optional
            Log10 of the J-factor [GeV2 cm-5] of a target at the pixel. Default is 19; for decay
            log10 of the D-factor [GeV cm-2], 17.
        **kwargs
            ``spectra, process, norm_type, interpolation, k, redshift, cl, n_jobs,
            show_progress``, see `dmgammapy.estimators.castro_cube_dark_matter.dark_matter_maps`.

        Returns
        -------
        maps : `~dmgammapy.estimators.castro_cube_dark_matter.DarkMatterMaps`
            ``maps["sigmav_ul"]``, ``maps["ts"]`` ... with the axes mass and channel.
        """
        kwargs.setdefault("cl", self.cl)
        return dark_matter_maps(self, masses, channels, log10_jfactor, **kwargs)

    # ---- files -------------------------------------------------------------------------------

    @classmethod
    def read(cls, path, format=None, **kwargs):
        """Read a file.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        format : {"fermipy"}, optional
            Default is to identify it, see `dmgammapy.estimators.io.cube`.
        **kwargs
            ``failed``: what to do with pixels of which a bin's fit failed, "mask" (default),
            "keep" or "error".

        Returns
        -------
        cube : `CastroCube`

        Raises
        ------
        ValueError
            If the file is no such cube; the message names the place.
        """
        from .io.cube import read_cube

        return read_cube(Path(path), format=format, **kwargs)

    def write(self, path, overwrite=False, format="fermipy"):
        """Write to a file that `read` restores exactly, and fermipy reads too.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        overwrite : bool
            Replace an existing file. Default is False.
        format : {"fermipy"}
        """
        from .io.cube import write_cube

        write_cube(self, Path(path), overwrite=overwrite, format=format)

    def to_hdulist(self):
        """The file of `write` as `~astropy.io.fits.HDUList`."""
        from .io.cube import to_hdulist

        return to_hdulist(self)

    @classmethod
    def from_hdulist(cls, hdulist, **kwargs):
        """Inverse of `to_hdulist`."""
        from .io.cube import from_hdulist

        return from_hdulist(hdulist, **kwargs)

    def __repr__(self):
        ny, nx = self._geom.data_shape
        center = self._geom.center_skydir
        edges = self.energy_edges
        has = [name for name in REFERENCES if getattr(self, name) is not None]
        lines = [
            "CastroCube",
            "----------",
            "",
            f"  map          : {nx} x {ny} pixels of {self._geom.pixel_scales[0]:.3g}, "
            f"{self._geom.projection}",
            f"  centre       : {center.to_string('decimal', precision=3)} deg "
            f"({center.frame.name})",
            f"  computed     : {int(self._mask.sum())} of {nx * ny} pixels",
            f"  energy       : {self.n_bins} bins from {edges[0]:.4g} to {edges[-1]:.4g}",
            f"  scans        : {self._norm_scan.shape[3]} points per bin, {self.interpolation}",
            f"  references   : {', '.join(has)}; norm_type {self.norm_type}",
            f"  instrument   : {self.instrument or 'unknown'}",
            f"  cl           : {self.cl}",
        ]
        return "\n".join(lines) + "\n"
