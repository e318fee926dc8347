"""J-factor priors of targets that several instruments saw."""

import numpy as np

from dmgammapy.modeling import JFactorPrior

__all__ = ["collect_extra_widths", "split_priors"]


def collect_extra_widths(widths, groups):
    """Independent widths of instruments.

    Parameters
    ----------
    widths : dict or None
        ``{instrument: width}`` and ``{target: {instrument: width}}`` [dex]; the latter goes first.
    groups : dict
        Names of the instruments by target.

    Returns
    -------
    priors : dict
        ``{target: {instrument: JFactorPrior}}``, centred on zero, where there is a width.

    Raises
    ------
    ValueError
        If a target or an instrument is not there, or a width is not valid.
    """
    widths = dict(widths or {})
    instruments = {name for members in groups.values() for name in members}
    for key, value in widths.items():
        if isinstance(value, dict):
            if key not in groups:
                raise ValueError(
                    f"extra_widths for the target {key!r}, which is not in the stack; it holds "
                    f"{sorted(groups)}."
                )
            unknown = [name for name in value if name not in groups[key]]
            if unknown:
                raise ValueError(
                    f"extra_widths[{key!r}] names the instruments {unknown}; this target was seen "
                    f"by {list(groups[key])}."
                )
        elif key not in instruments:
            raise ValueError(
                f"extra_widths for the instrument {key!r}, which is not in the stack; it holds "
                f"{sorted(map(str, instruments))}. For a target write {{target: {{instrument: "
                "width}}."
            )
    general = {key: value for key, value in widths.items() if not isinstance(value, dict)}
    out = {}
    for target, members in groups.items():
        own = widths.get(target)
        chosen = general | own if isinstance(own, dict) else general
        out[target] = {}
        for name in members:
            if name not in chosen:
                continue
            try:
                prior = JFactorPrior(0.0, chosen[name])
            except (TypeError, ValueError) as error:
                raise ValueError(f"extra_widths of {name!r} for {target!r}: {error}") from None
            if not prior.is_fixed:
                out[target][name] = prior
    return out


def split_priors(target, priors):
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
