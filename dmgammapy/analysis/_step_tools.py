"""What the steps of the pipeline share."""

from dmgammapy.estimators import CastroMaps

from ._data import set_limits

__all__ = ["by_method", "one_path", "read_castros", "write_table"]


def write_table(table, path):
    """Write a table as ECSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write(path, format="ascii.ecsv")


def one_path(paths):
    """The only file of a parent."""
    (path,) = paths.values()
    return path


def read_castros(parents, prefix):
    """Castro results of the parents whose name begins so, in their order."""
    return [
        CastroMaps.read(one_path(paths))
        for name, paths in parents.items()
        if name.startswith(prefix)
    ]


def by_method(castro, method, asimov=None):
    """A result with the limits of a method in the place of its own.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        With its scans; its own limits are those of ``profile``.
    method : str
        See `~dmgammapy.estimators.CastroMaps.upper_limit_and_status`.
    asimov : `~dmgammapy.estimators.CastroMaps`, optional
        The same of the Asimov data without signal, which all methods but ``profile`` need.

    Returns
    -------
    castro : `~dmgammapy.estimators.CastroMaps`
        With ``norm_ul`` and ``status`` of the method and a note that says so; of ``profile`` the
        given one.
    """
    if method == "profile":
        return castro
    out = castro.copy()
    set_limits(out, method=method, asimov=asimov)
    out.meta.notes = [*castro.meta.notes, f"upper limits by the method {method!r}."]
    return out
