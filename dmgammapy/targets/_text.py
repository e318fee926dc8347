"""What a target looks like on screen."""

import numpy as np

__all__ = ["describe"]


def describe(target):
    """Several lines with all that is known of a target."""
    rows = [("Version", target.version), ("Kind", target.kind)]
    if target.position is not None:
        ra, dec = target.position.ra.deg, target.position.dec.deg
        rows.append(("Position", f"ra {ra:.4f} deg, dec {dec:.4f} deg"))
    rows += [
        ("Distance", _with_error(target.distance, target.distance_err)),
        ("log10 J", _log_text(target.log10_jfactor, target.log10_jfactor_err, "GeV2 cm-5")),
        ("log10 D", _log_text(target.log10_dfactor, target.log10_dfactor_err, "GeV cm-2")),
        ("Extension", None if target.extension is None else f"{target.extension:.3g}"),
        ("Profile", None if target.profile is None else _profile_text(target.profile)),
        ("Reference", target.reference),
        ("Missing", ", ".join(target.missing()) or None),
    ]
    lines = [f"Target {target.label}" + (f" ({target.name})" if target.title else "")]
    lines += [f"  {key:<10}: {value}" for key, value in rows if value is not None]
    return "\n".join(lines)


def _with_error(value, error):
    if value is None:
        return None
    return f"{value:g}" if error is None else f"{value.value:g} +- {error:g}"


def _log_text(value, width, unit):
    if value is None:
        return None
    text = f"{value:g}"
    if width is None:
        text += ", width unknown"
    elif np.ndim(width):
        text += f" - {width[0]:g} + {width[1]:g}"
    else:
        text += f" +- {width:g}"
    return f"{text} [{unit}]"


def _profile_text(profile):
    return ", ".join(f"{key} {value}" for key, value in profile.items())
