"""Combine likelihoods of many targets and instruments: `StackedDMLikelihood`."""

import logging

import numpy as np
from astropy.table import QTable, vstack
from joblib import Parallel, delayed

from dmgammapy.modeling import JFactorPrior
from dmgammapy.modeling.priors import check_width_in_covariance
from dmgammapy.utils import progress

from ._correlated import marginalize_correlated, profile_correlated
from ._correlated_covariance import JFactorCovariance
from ._stacking_priors import collect_extra_widths, split_priors
from .castro_maps import CastroMaps
from .lattice import BASE_STEP, LatticeProfiles, step_for_ts
from .limits import LimitStatus, delta_stat_upper
from .metadata import CastroMetaData

__all__ = ["StackedDMLikelihood"]

log = logging.getLogger(__name__)

METHODS = ("profile", "marginal", "fixed")
CONSTANT = ("castros", "priors", "method", "extra_widths", "jfactor_covariance", "groups")
TREATMENTS = {"profile": "profiled", "marginal": "marginalized"}


class StackedDMLikelihood:
    r"""Joint likelihood of castro results, with one J-factor nuisance per target.

    For every mass and channel

    .. math::

        \mathrm{stat}(\sigma v) = \sum_t \min_{y_t} \Big[ \sum_i \mathrm{stat}_{t,i}
        (\sigma v\, 10^{y_t}) + \mathrm{prior}_t(y_t) \Big]

    with ``y_t = log10(J_t / J_t,obs)``: instruments ``i`` that saw the same target are added
    first, each with its own observed J, and share the shift (``method="profile"``). ``marginal``
    integrates over ``y_t`` with the normalised density instead, ``fixed`` leaves J as observed.

    An instrument whose J has an uncertainty of its own, beyond that of the target, gets a second
    shift (``extra_widths``): ``min_z [stat(sigmav 10^(y + z)) + (z / width)^2]``. Targets whose
    J-factors were not measured independently share a covariance (``jfactor_covariance``); the
    priors of those are then together ``y^T C^-1 y``.

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
        Default is the priors the castros carry. Targets in ``jfactor_covariance`` need none.
    method : {"profile", "marginal", "fixed"}
        J treatment. Default is profile; ``marginal`` takes covariances with one common factor
        only.
    cl : float
        Confidence level of the stored upper limits. Default is 0.95.
    n_jobs : int
        Targets treated at the same time, in threads. Default is 1; -1 uses all cores.
    show_progress : bool or None
        Progress bar over targets; None shows one for more than 50 on a terminal.
    extra_widths : dict, optional
        Independent widths [dex] of the J-factors of instruments, ``{instrument: width}`` for all
        targets it saw or ``{target: {instrument: width}}``, which goes first; a width may be a
        pair, below and above. They come on top of the target's prior, which must then be the same
        for its instruments.
    jfactor_covariance : `JFactorCovariance`, `~astropy.table.Table`, dict or tuple, optional
        Covariance [dex2] of the shared shifts ``y`` of two or more targets, see
        `JFactorCovariance.create`. Its diagonal is what their priors are, which must be normal
        and agree with it to 1e-6, or absent. Other targets stay independent.

    Raises
    ------
    ValueError
        If masses, channels or processes differ, a target has no name, a target and instrument
        come twice, a prior is missing or for nobody, a castro's J has been treated before, or
        extra widths or the covariance are for nobody or contradict the priors.

    Notes
    -----
    Where all inputs know the likelihood of negative signals, so does the result. A target without
    counts in some bin ends at the signal for which the prediction there is zero: with fixed J the
    stack ends at the first such wall; beyond it the profile is the best within the wall with its
    penalty, and the marginal likelihood the integral up to the wall.

    With a covariance, ``target_maps`` are still the results of each target alone, with the width
    the diagonal says; they no longer add up to the stack. ``contributions`` has shares that do:
    of the penalty a target's part is ``y_t (C^-1 y)_t`` at the best shifts. It can be negative,
    and ``ul_without`` leaves the target out of the covariance.

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
        self,
        castros,
        priors=None,
        method="profile",
        cl=0.95,
        n_jobs=1,
        show_progress=None,
        extra_widths=None,
        jfactor_covariance=None,
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
        self.jfactor_covariance = self._check_covariance(jfactor_covariance)
        self.priors = self._collect_priors(priors)
        if extra_widths and method == "fixed":
            raise ValueError(
                "extra_widths have no effect with method='fixed'; leave one of them out."
            )
        self.extra_widths = collect_extra_widths(extra_widths, self.groups)
        self._treatments = self._split_all_priors()
        self._profiles = None
        self._made = True

    def __setattr__(self, name, value):
        if name in CONSTANT and getattr(self, "_made", False):
            raise AttributeError(
                f"{name} of a StackedDMLikelihood can't be changed: what it has combined depends "
                "on it; make a new one."
            )
        super().__setattr__(name, value)

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

    def _check_covariance(self, covariance):
        if covariance is None:
            return None
        if self.method == "fixed":
            raise ValueError(
                "jfactor_covariance has no effect with method='fixed'; leave one of them out."
            )
        covariance = JFactorCovariance.create(covariance)
        unknown = sorted(set(covariance.names) - set(self.groups))
        if unknown:
            raise ValueError(
                f"jfactor_covariance holds {unknown}, which are not in the stack of "
                f"{sorted(self.groups)}; take select() of those that are."
            )
        return covariance

    def _split_all_priors(self):
        """Shared prior and the instruments' independent ones of each target."""
        if self.method == "fixed":
            return {}
        out = {}
        for target, priors in self.priors.items():
            width = None
            if self.jfactor_covariance is not None:
                width = self.jfactor_covariance.widths.get(target)
            if all(p is None for p in priors.values()):
                shared, extra = JFactorPrior(0.0, width), {}
            else:
                shared, extra = split_priors(target, priors)
            explicit = self.extra_widths[target]
            if extra and explicit:
                raise ValueError(
                    f"target {target!r}: its instruments {sorted(map(str, extra))} have wider "
                    "priors, and extra_widths are given, too; give one of them."
                )
            if width is not None:
                check_width_in_covariance(target, shared, width)
            out[target] = shared, extra or explicit
        return out

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
            needed = not self._in_covariance(target) or any(
                prior is not None for prior in out[target].values()
            )
            for prior in out[target].values():
                if prior is not None and not isinstance(prior, JFactorPrior):
                    raise TypeError(
                        f"priors[{target!r}] must be a JFactorPrior, got {type(prior).__name__}."
                    )
                if prior is None and self.method != "fixed" and needed and target not in missing:
                    missing.append(target)
        if missing:
            raise ValueError(
                f"no J-factor width for {missing}: give priors={{name: JFactorPrior(...)}} "
                f"(width 0 keeps J as it is), leave these targets out, or use method='fixed'."
            )
        return out

    def _in_covariance(self, target):
        return self.jfactor_covariance is not None and target in self.jfactor_covariance.names

    def _covariance_with(self, target, targets):
        """Covariance [dex2] of a target with others, by name."""
        names = [name for name in targets if self._in_covariance(name)]
        row = self.jfactor_covariance.select(names).matrix[names.index(target)]
        return dict(zip(names, row.tolist(), strict=True))

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
        """Profiles of one target, the shift its instruments share not treated."""
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
        return self._join_instruments(target, parts)

    def _join_instruments(self, target, parts):
        """Sum over instruments, whose own shifts are treated."""
        parts = dict(parts)
        if self.method != "fixed":
            for name, prior in self._treatments[target][1].items():
                parts[name] = getattr(parts[name], TREATMENTS[self.method])(prior)
        return LatticeProfiles.sum(list(parts.values()))

    def _treated(self, target, profiles):
        """Profiles of one target with its own prior."""
        if self.method == "fixed":
            return profiles
        return getattr(profiles, TREATMENTS[self.method])(self._treatments[target][0])

    def _block_profiles(self, names, raw):
        """Profiles of targets that vary together, and each one's part of them."""
        covariance = self.jfactor_covariance.select(names)
        parts = [raw[name] for name in names]
        if self.method == "profile":
            total, terms = profile_correlated(parts, covariance.matrix, self.n_jobs)
            return total, dict(zip(names, terms, strict=True))
        total = marginalize_correlated(parts, covariance.matrix, self.n_jobs)
        if total is None:
            raise ValueError(
                f"method='marginal' needs a J-factor covariance with one common factor; that of "
                f"{names} has more. Use method='profile'."
            )
        return total, dict.fromkeys(names)

    def _blocks(self, targets):
        """Targets in lists of those that vary together."""
        rest, blocks = list(targets), []
        if self.jfactor_covariance is not None:
            held = [name for name in rest if name in self.jfactor_covariance.names]
            if held:
                blocks = [b for b in self.jfactor_covariance.select(held).blocks() if len(b) > 1]
        together = {name for block in blocks for name in block}
        return [[name] for name in rest if name not in together] + blocks

    def _combine(self, raw, targets):
        """Sum of the treated profiles of some targets."""
        totals = [
            self._treated(block[0], raw[block[0]])
            if len(block) == 1
            else self._block_profiles(block, raw)[0]
            for block in self._blocks(targets)
        ]
        return LatticeProfiles.sum(totals)

    def _all_profiles(self):
        """Profiles on a lattice fine enough for their sum.

        Returns
        -------
        raw, terms : dict of `LatticeProfiles`
            By target, J not treated, and its part of the sum (None where an integral over
            several targets has no parts).
        total : `LatticeProfiles`
        """
        if self._profiles is None:
            step = self._coarsest_step()
            while True:
                parallel = Parallel(n_jobs=self.n_jobs, prefer="threads")
                names = progress(self.targets, "stack", self.show_progress)
                raw = parallel(delayed(self._target_profiles)(name, step) for name in names)
                raw = dict(zip(self.targets, raw, strict=True))
                terms, totals = {}, []
                for block in self._blocks(self.targets):
                    if len(block) == 1:
                        whole = self._treated(block[0], raw[block[0]])
                        own = {block[0]: whole}
                    else:
                        whole, own = self._block_profiles(block, raw)
                    terms.update(own)
                    totals.append(whole)
                total = LatticeProfiles.sum(totals)
                needed = step_for_ts(total.largest_ts())
                if needed >= step:
                    break
                step = needed
            self._profiles = raw, terms, total
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
                    "target": target,
                    "log10_jfactor": castro.meta.log10_jfactor
                    if prior is None
                    else prior.log10_jfactor,
                    "prior": None if prior is None else prior.to_spec(),
                    "origin": castro.meta.origin,
                }
                if name in self.extra_widths[target]:
                    extra = self.extra_widths[target][name]
                    contributors[key]["extra_width"] = [extra.err_low, extra.err_high]
                if self._in_covariance(target):
                    contributors[key]["jfactor_covariance"] = self._covariance_with(target, targets)
                notes.extend(n for n in castro.meta.notes if n not in notes)
                if "stat" in castro.available_quantities:  # absolute, where its scan is 0
                    offset = offset + np.nan_to_num(castro["stat"].data[..., 0, 0])
        held = [name for name in targets if self._in_covariance(name)]
        if len(held) > 1:
            off = np.abs(np.tril(self.jfactor_covariance.select(held).correlation, -1)).max()
            notes.append(
                f"J-factors of {', '.join(held)} vary together: covariance [dex2] in contributors, "
                f"correlations up to {off:.3g}."
            )
        notes.extend(self._more_notes(targets))
        single = len(targets) == 1
        meta = CastroMetaData(
            target=targets[0] if single else None,
            process=first.process,
            jfactor_method=self._jfactor_method(),
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

    def _jfactor_method(self):
        """J treatment of the result: that of the inputs if it was done before."""
        before = {c.meta.jfactor_method for c in self.castros} - {None, "fixed"}
        return sorted(before)[-1] if self.method == "fixed" and before else self.method

    def _more_notes(self, targets):
        """What a reader of the result should know about how its parts fit together."""
        members = [
            (target, name, castro)
            for target in targets
            for name, castro in self.groups[target].items()
        ]
        notes = []
        unknown = [
            target
            for target, name, castro in members
            if castro.meta.log10_jfactor is None and self.priors[target][name] is not None
        ]
        if unknown:
            notes.append(
                f"the J-factors that the scans of {', '.join(dict.fromkeys(unknown))} were made "
                "with are unknown, and taken to be those of the priors."
            )
        bounded = [t for t, _, c in members if (~c.has_negative & ~c.is_empty).any()]
        if bounded:
            names = list(dict.fromkeys(bounded))
            who = "all targets" if 1 < len(names) == len(targets) else ", ".join(names)
            notes.append(f"the scans of {who} have no negative norms: CLs is approximate.")
        spectra = sorted({c.meta.spectra for *_, c in members if c.meta.spectra})
        if len(spectra) > 1:
            notes.append(f"made with different spectra: {', '.join(spectra)}.")
        return notes

    def run(self):
        """Combine.

        Returns
        -------
        combined : `CastroMaps`
        """
        return self._as_castro(self._all_profiles()[2], self.targets)

    @property
    def target_maps(self):
        """Result of every target alone, its J treated: dict of `CastroMaps`."""
        raw = self._all_profiles()[0]
        return {
            target: self._as_castro(self._treated(target, raw[target]), [target])
            for target in self.targets
        }

    @property
    def contributions(self):
        """Share of every target in the combined limit.

        Returns
        -------
        table : `~astropy.table.QTable`
            One row per target, channel and mass: ``ul`` the target's own limit, ``share`` the
            part of the rise of ``stat`` at the combined limit (from the combined best fit) that
            is the target's (NaN for correlated targets with ``method="marginal"``, which have no
            parts), ``ul_without`` the limit of the stack without it (NaN for the only target),
            ``ts`` its own TS.
        """
        combined = self.run()
        raw, terms, total = self._all_profiles()
        limit = combined["norm_ul"].data[..., 0, 0] * combined["reference"].data[..., 0, 0]
        best = combined["norm"].data[..., 0, 0] * combined["reference"].data[..., 0, 0]
        rise = delta_stat_upper(self.cl)
        known = combined["status"].data[..., 0, 0] != LimitStatus.NO_INFORMATION
        unit = combined["reference"].unit
        shape = limit.shape
        together = {
            name for block in self._blocks(self.targets) if len(block) > 1 for name in block
        }
        rows = []
        for target, own in self.target_maps.items():
            term = terms[target]
            share = np.full(shape, np.nan)
            if term is not None:
                at_limit, at_best = (term.at(x.ravel()).reshape(shape) for x in (limit, best))
                share = (at_limit - at_best) / rise
            if len(self.targets) > 1:
                names = [name for name in self.targets if name != target]
                rest = self._combine(raw, names) if target in together else total.without(term)
                ul_without = self._as_castro(rest, names).strength_ul.data[..., 0, 0]
                if target not in together and np.isnan(ul_without[known]).any():
                    # the others may reach further than the sum did
                    rest = self._combine(raw, names)
                    ul_without = self._as_castro(rest, names).strength_ul.data[..., 0, 0]
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
