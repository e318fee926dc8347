"""Combine likelihoods of many targets and instruments: `StackedDMLikelihood`."""

import logging

import numpy as np
from astropy.table import QTable, vstack
from joblib import Parallel, delayed

from dmgammapy.modeling import JFactorPrior
from dmgammapy.utils import progress

from . import _kernels as kernels
from .castro_maps import CastroMaps
from .lattice import BASE_STEP, LatticeProfiles, step_for_ts
from .limits import delta_stat_upper
from .metadata import CastroMetaData

__all__ = ["StackedDMLikelihood"]

log = logging.getLogger(__name__)

METHODS = ("profile", "marginal", "fixed")


class StackedDMLikelihood:
    r"""Joint likelihood of castro results, with one J-factor nuisance per target.

    For every mass and channel

    .. math::

        \mathrm{stat}(\sigma v) = \sum_t \min_{y_t} \Big[ \sum_i \mathrm{stat}_{t,i}
        (\sigma v\, 10^{y_t}) + \mathrm{prior}_t(y_t) \Big]

    with ``y_t = log10(J_t / J_t,obs)``: instruments ``i`` that saw the same target are added
    first, each with its own observed J, and share the shift (``method="profile"``). ``marginal``
    integrates over ``y_t`` with the normalised density instead, ``fixed`` leaves J as observed.

    Parameters
    ----------
    castros : list of `CastroMaps`
        Results of any origin with the same masses, channels and process; each names its target
        in ``meta.target``, and its instrument where a target was seen by several.
    priors : dict, optional
        J-factor priors ``{target: JFactorPrior}``. Where instruments differ:
        ``{target: {instrument: JFactorPrior}}``; then the smallest width is that of the shared
        shift, and what the others have in excess (in quadrature) is independent. A prior whose
        ``log10_jfactor`` differs from the one a castro was made with moves the castro to it.
        Default is the priors the castros carry.
    method : {"profile", "marginal", "fixed"}
        J treatment. Default is profile.
    cl : float
        Confidence level of the stored upper limits. Default is 0.95.
    n_jobs : int
        Targets treated at the same time, in threads. Default is 1; -1 uses all cores.
    show_progress : bool or None
        Progress bar over targets; None shows one for more than 50 on a terminal.

    Raises
    ------
    ValueError
        If masses, channels or processes differ, a target has no name, a target and instrument
        come twice, a prior is missing or for nobody, or a castro's J has been treated before.

    Examples
    --------
    Two targets, the same likelihood, fixed J: the limit of a Gaussian with twice the data.

    >>> import numpy as np
    >>> import astropy.units as u
    >>> from dmgammapy.estimators import CastroMaps, StackedDMLikelihood
    >>> sigmav = np.append(0, np.geomspace(1e-28, 1e-22, 241)) * u.Unit("cm3 s-1")
    >>> stat = ((sigmav.value / 1e-26) ** 2).reshape(1, 1, -1)
    >>> castros = [
    ...     CastroMaps.from_scan(sigmav, stat, [100] * u.GeV, ["b"], target=name)
    ...     for name in ("draco", "segue_1")
    ... ]
    >>> combined = StackedDMLikelihood(castros, method="fixed").run()
    >>> print(f"{combined.sigmav_ul.quantity.squeeze():.4g}")  # sqrt(2.7055 / 2)
    1.163e-26 cm3 / s
    """

    tag = "StackedDMLikelihood"

    def __init__(
        self, castros, priors=None, method="profile", cl=0.95, n_jobs=1, show_progress=None
    ):
        if isinstance(castros, CastroMaps):
            castros = [castros]
        self.castros = list(castros)
        self.method = method
        self.cl = cl
        self.n_jobs = n_jobs
        self.show_progress = show_progress
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}, got {method!r}.")
        if not self.castros:
            raise ValueError("StackedDMLikelihood needs at least one CastroMaps, got none.")
        self.groups = self._group()
        self.priors = self._collect_priors(priors)
        self._profiles = None

    # ---- checks ------------------------------------------------------------------------------

    def _group(self):
        groups = {}
        for i, castro in enumerate(self.castros):
            if not isinstance(castro, CastroMaps):
                raise TypeError(f"castros[{i}] must be a CastroMaps, got {type(castro).__name__}.")
            if castro.geom.axes.names != ["mass", "channel"]:
                raise ValueError(
                    f"castros[{i}] has the axes {castro.geom.axes.names}; a stack needs mass and "
                    "channel only (use iter_by_axis)."
                )
            target = castro.meta.target
            if not target:
                raise ValueError(
                    f"castros[{i}] ({castro.meta.origin or 'origin unknown'}) does not say which "
                    "target it is about; set castro.meta.target."
                )
            if castro.meta.jfactor_method not in (None, "fixed") and self.method != "fixed":
                raise ValueError(
                    f"{target}: its J-factor has been treated before "
                    f"({castro.meta.jfactor_method}); stack it with method='fixed'."
                )
            self.castros[0].check_compatible(castro)
            members = groups.setdefault(target, {})
            instrument = castro.meta.instrument
            if instrument in members:
                raise ValueError(
                    f"target {target!r} comes twice with the instrument {instrument!r} "
                    f"(castros[{i}], {castro.meta.origin}): leave one out, or set meta.instrument "
                    "if they are different data."
                )
            members[instrument] = castro
        return groups

    def _collect_priors(self, priors):
        """Priors as {target: {instrument: JFactorPrior or None}}."""
        given = dict(priors or {})
        unknown = sorted(set(given) - set(self.groups))
        if unknown:
            raise ValueError(
                f"priors for {unknown}, which are not in the stack; it holds {sorted(self.groups)}."
            )
        out, missing = {}, []
        for target, members in self.groups.items():
            if target in given and isinstance(given[target], dict):
                wrong = sorted(map(str, set(given[target]) ^ set(members)))
                if wrong:
                    raise ValueError(
                        f"priors[{target!r}] must name exactly the instruments "
                        f"{list(members)}; at odds: {wrong}."
                    )
                out[target] = dict(given[target])
            elif target in given:
                out[target] = dict.fromkeys(members, given[target])
            elif priors is None:
                out[target] = {name: c.meta.prior for name, c in members.items()}
            else:
                out[target] = dict.fromkeys(members)
            for prior in out[target].values():
                if prior is not None and not isinstance(prior, JFactorPrior):
                    raise TypeError(
                        f"priors[{target!r}] must be a JFactorPrior, got {type(prior).__name__}."
                    )
                if prior is None and self.method != "fixed" and target not in missing:
                    missing.append(target)
        if missing:
            raise ValueError(
                f"no J-factor width for {missing}: give priors={{name: JFactorPrior(...)}} "
                f"(width 0 keeps J as it is), leave these targets out, or use method='fixed'."
            )
        return out

    @property
    def targets(self):
        """Names of the targets, in the order of the input."""
        return list(self.groups)

    # ---- work --------------------------------------------------------------------------------

    def _coarsest_step(self):
        """Finest lattice step among results that are on the lattice already."""
        steps = [BASE_STEP]
        for castro in self.castros:
            halvings = np.log2(BASE_STEP / castro._native_step)
            if abs(halvings - round(halvings)) < 1e-6 and halvings > 0:
                steps.append(BASE_STEP / 2 ** round(halvings))
        return min(steps)

    def _target_profiles(self, target, step):
        """Profiles of one target, its J treated."""
        members = self.groups[target]
        priors = self.priors[target]
        parts = {}
        for name, castro in members.items():
            part = castro._to_lattice(step)
            prior = priors[name]
            assumed = castro.meta.log10_jfactor
            if prior is not None and assumed is not None and prior.log10_jfactor != assumed:
                part = part.shifted(prior.log10_jfactor - assumed)
            parts[name] = part
        if self.method == "fixed":
            return LatticeProfiles.sum(list(parts.values()))
        shared, extra = _split_priors(target, priors)
        treat = "profiled" if self.method == "profile" else "marginalized"
        for name, prior in extra.items():
            parts[name] = getattr(parts[name], treat)(prior)
        total = LatticeProfiles.sum(list(parts.values()))
        return getattr(total, treat)(shared)

    def _all_profiles(self):
        """Treated profiles of every target, and their sum, on a lattice fine enough for it."""
        if self._profiles is None:
            step = self._coarsest_step()
            while True:
                parallel = Parallel(n_jobs=self.n_jobs, prefer="threads")
                names = progress(self.targets, "stack", self.show_progress)
                parts = parallel(delayed(self._target_profiles)(name, step) for name in names)
                total = LatticeProfiles.sum(parts)
                needed = step_for_ts(total.largest_ts())
                if needed >= step:
                    break
                step = needed
            self._profiles = dict(zip(self.targets, parts, strict=True)), total
        return self._profiles

    def _as_castro(self, profiles, targets):
        first = self.castros[0]
        offset = 0.0
        contributors, notes = {}, []
        for target in targets:
            for name, castro in self.groups[target].items():
                prior = self.priors[target][name]
                key = target if name is None else f"{target} ({name})"
                contributors[key] = {
                    "log10_jfactor": castro.meta.log10_jfactor
                    if prior is None
                    else prior.log10_jfactor,
                    "prior": None if prior is None else prior.to_spec(),
                    "origin": castro.meta.origin,
                }
                notes.extend(n for n in castro.meta.notes if n not in notes)
                if "stat" in castro.available_quantities:  # absolute, where its scan is 0
                    offset = offset + np.nan_to_num(castro["stat"].data[..., 0, 0])
        single = len(targets) == 1
        meta = CastroMetaData(
            target=targets[0] if single else None,
            process=first.process,
            jfactor_method=self.method,
            cl=self.cl,
            contributors=contributors,
            notes=notes,
            log10_jfactor=next(iter(contributors.values()))["log10_jfactor"] if single else None,
            **{
                name: _common([getattr(c.meta, name) for c in self.castros])
                for name in ("spectra", "norm_type", "interpolation", "k")
            },
        )
        return CastroMaps._from_lattice(profiles, first.masses, first.channels, offset, meta)

    def run(self):
        """Combine.

        Returns
        -------
        combined : `CastroMaps`
        """
        return self._as_castro(self._all_profiles()[1], self.targets)

    @property
    def target_maps(self):
        """Result of every target alone, its J treated: dict of `CastroMaps`."""
        return {
            target: self._as_castro(profiles, [target])
            for target, profiles in self._all_profiles()[0].items()
        }

    @property
    def contributions(self):
        """Share of every target in the combined limit.

        Returns
        -------
        table : `~astropy.table.QTable`
            One row per target, channel and mass: ``ul`` the target's own limit, ``share`` the
            part of the rise of ``stat`` at the combined limit (from the combined best fit) that
            is the target's, ``ul_without`` the limit of the stack without it (NaN for the only
            target), ``ts`` its own TS.
        """
        combined = self.run()
        parts, total = self._all_profiles()
        limit = combined["norm_ul"].data[..., 0, 0] * combined["reference"].data[..., 0, 0]
        best = combined["norm"].data[..., 0, 0] * combined["reference"].data[..., 0, 0]
        rise = delta_stat_upper(self.cl)
        unit = combined["reference"].unit
        shape = limit.shape
        rows = []
        for target, own in self.target_maps.items():
            share = (_read_off(own, limit) - _read_off(own, best)) / rise
            if len(self.targets) > 1:
                names = [name for name in self.targets if name != target]
                rest = total.without(parts[target])
                without = self._as_castro(rest, names).strength_ul
                ul_without = without.data[..., 0, 0]
            else:
                ul_without = np.full(shape, np.nan)
            table = QTable()
            table["target"] = [target] * limit.size
            table["channel"] = np.repeat(combined.channels, shape[1])
            table["mass"] = np.tile(combined.masses, shape[0])
            table["ul"] = own.strength_ul.quantity.ravel()
            table["share"] = share.ravel()
            table["ul_without"] = ul_without.ravel() * unit
            table["ts"] = own["ts"].data.ravel()
            rows.append(table)
        return vstack(rows, metadata_conflicts="silent")

    def __repr__(self):
        return (
            f"StackedDMLikelihood({len(self.targets)} targets, {len(self.castros)} results, "
            f"method={self.method!r}, cl={self.cl})\n  " + ", ".join(self.targets)
        )


def _common(values):
    """The value all share, or None."""
    return values[0] if all(v == values[0] for v in values) else None


def _split_priors(target, priors):
    """Prior of the shared shift and the independent rest of each instrument that has one."""
    kinds = list(priors.values())
    first = kinds[0]
    if all(_same_shape(p, first) for p in kinds):
        return first, {}
    if not all(p.is_gaussian for p in kinds):
        raise ValueError(
            f"target {target!r}: instruments with different J-factor widths need Gaussian (or "
            "split normal) priors."
        )
    low = min(p.err_low for p in kinds)
    high = min(p.err_high for p in kinds)
    shared = JFactorPrior(first.log10_jfactor, (low, high))
    extra = {}
    for name, p in priors.items():
        rest = (np.sqrt(p.err_low**2 - low**2), np.sqrt(p.err_high**2 - high**2))
        if min(rest) > 0:
            extra[name] = JFactorPrior(p.log10_jfactor, rest)
        elif max(rest) > 0:
            raise ValueError(
                f"target {target!r}: the J-factor width of {name!r} exceeds the shared one on one "
                "side only; that cannot be split into a shared and an independent part."
            )
    return shared, extra


def _same_shape(a, b):
    """True if two priors are the same likelihood of the shift, wherever they are centred."""
    if a.is_gaussian and b.is_gaussian:
        return a.err_low == b.err_low and a.err_high == b.err_high
    grid = np.linspace(*a.support, 41)
    return bool(np.allclose(a.stat(grid), b.stat(grid)))


def _read_off(castro, strength):
    """``stat`` of each (channel, mass) at one strength, shape (channel, mass)."""
    nodes = castro.norm_axis.center.value
    reference = castro["reference"].data[..., 0, 0]
    scan = castro.delta_stat
    out = np.full(strength.shape, np.nan)
    for index in np.ndindex(strength.shape):
        x = strength[index] / reference[index]
        if np.isfinite(x):
            out[index] = _interpolate(nodes, scan[index], x)
    return out


def _interpolate(nodes, values, x):
    if x <= nodes[1]:
        return values[0] + (values[1] - values[0]) * x / nodes[1]
    log_nodes = np.log10(nodes[1:])
    out = np.empty((1, 1))
    kernels.resample(
        log_nodes, np.ascontiguousarray(values[None, 1:]), values[:1].copy(),
        np.array([[np.log10(x)]]), out,
    )  # fmt: skip
    return out[0, 0]
