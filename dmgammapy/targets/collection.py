"""Targets in a row: `Targets`."""

from pathlib import Path

import numpy as np

from dmgammapy.utils import atomic_path

from ._names import UnknownNameError, closest_first
from ._plots import TargetPlots
from ._select import select_targets
from .bundled import bundled_rosters, bundled_targets, find_target
from .core import Target, factor_name
from .io.ecsv import targets_from_table, to_qtable, write_ecsv
from .io.rosters import resolve_roster
from .readers import read_targets
from .rosters import split_key

__all__ = ["Targets"]


class Targets(TargetPlots):
    """A list of targets that is also indexed by name.

    A target may be there in several versions (J-factors of different papers); then it is indexed
    by ``"name:version"``. It can't be there twice in the same version.

    Parameters
    ----------
    targets : list of `Target`
        The targets.

    Raises
    ------
    ValueError
        If an item is no `Target`, or is there twice.

    Examples
    --------
    >>> from dmgammapy.targets import Targets
    >>> targets = Targets.read_roster("ackermann2015_dsphs")
    >>> len(targets), targets.names[:3]
    (15, ['bootes_I', 'carina', 'canes_venatici_II'])
    >>> targets["draco"].log10_jfactor
    18.83
    >>> targets.select(min_log10_jfactor=19.2).names
    ['segue_1', 'ursa_major_II']
    """

    def __init__(self, targets=()):
        targets = [targets] if isinstance(targets, Target) else list(targets)
        positions = {}
        for i, target in enumerate(targets):
            if not isinstance(target, Target):
                raise ValueError(f"item {i} of Targets must be a Target, got {target!r}.")
            first = positions.setdefault((target.name, target.version), i)
            if first != i:
                raise ValueError(
                    f"target {target.key} is there twice, as items {first} and {i}; names must be "
                    "unique unless the versions differ."
                )
        self._targets = targets

    @classmethod
    def read(cls, path, format=None, roster=None, library=None, aliases=None):
        """Read targets from a file.

        Parameters
        ----------
        path : path-like
            ECSV table, or YAML file of dmsky (targets or rosters) or dmpipe (``target_list``,
            ``roster_list``).
        format : {"ecsv", "dmsky", "roster", "dmpipe"}, optional
            Default is to recognise it.
        roster : str, optional
            Name of the roster, for a file with several.
        library : `Targets`, optional
            Own targets that the members of a roster are looked up in before the bundled ones.
        aliases : dict, optional
            Long names of versions by short ones, as dmpipe uses them.

        Returns
        -------
        targets : `Targets`
            A dmsky target file gives all its versions, see `select`.

        Raises
        ------
        ValueError
            If the file is damaged or not recognised; it says where.
        UnknownNameError
            If a member of a roster does not exist.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from dmgammapy.targets import Targets
        >>> text = "mine: [ackermann2015_dsphs, -segue_1, '+segue_1:pace2018_nfw']"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "mine.yaml"
        ...     _ = path.write_text(text)
        ...     targets = Targets.read(path)
        >>> len(targets), targets["segue_1"].log10_jfactor
        (15, 19.14)
        """
        own = None
        if library is not None:
            own = {(target.name, target.version): target for target in library}
        targets = read_targets(path, format, roster, own, aliases)
        try:
            return cls(targets)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def read_roster(cls, name):
        """Read a bundled roster.

        Parameters
        ----------
        name : str
            Name of the roster, see `rosters`.

        Returns
        -------
        targets : `Targets`
            Each target in a single version.

        Raises
        ------
        UnknownNameError
            If there is no such roster; it lists those that exist.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> len(Targets.read_roster("albert2017_dsphs"))
        41
        """
        rosters = bundled_rosters()
        if name not in rosters:
            raise UnknownNameError(
                f"no bundled roster {name!r}; there are {closest_first(name, rosters)}. For a "
                "roster of your own use Targets.read(path)."
            )
        return cls(resolve_roster(name, rosters, "bundled rosters"))

    @staticmethod
    def rosters():
        """Names of the bundled rosters.

        Returns
        -------
        names : list of str

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> "pace2018_all" in Targets.rosters()
        True
        """
        return list(bundled_rosters())

    @classmethod
    def bundled(cls):
        """All bundled targets in all versions.

        Returns
        -------
        targets : `Targets`

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> [target.version for target in Targets.bundled().select("carina_III")]
        ['default', 'pace2018_photoj_nfw']
        """
        return cls(bundled_targets().values())

    @classmethod
    def from_names(cls, names):
        """Look up bundled targets.

        Parameters
        ----------
        names : list of str
            ``"name:version"``; a name without version gives the version ``default``, with a
            position and a distance but without J.

        Returns
        -------
        targets : `Targets`

        Raises
        ------
        ValueError
            If a name is there twice, or is not valid.
        UnknownNameError
            If a target or version does not exist.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> Targets.from_names(["draco:geringer-sameth2015_nfw"])[0].log10_jfactor_err
        0.13
        """
        names = [names] if isinstance(names, str) else names
        return cls(find_target(*split_key(name)) for name in names)

    @classmethod
    def from_table(cls, table):
        """Make targets from a table with the columns of an ECSV file.

        Parameters
        ----------
        table : `~astropy.table.Table`
            One row per target.

        Returns
        -------
        targets : `Targets`

        Raises
        ------
        ValueError
            If a column or value is not valid.

        Examples
        --------
        >>> from astropy.table import Table
        >>> from dmgammapy.targets import Targets
        >>> Targets.from_table(Table({"name": ["mine"], "log10_jfactor": [18.5]}))
        Targets(1: mine)
        """
        return cls(targets_from_table(table))

    def write(self, path, overwrite=False):
        """Write an ECSV table; `read` gives back equal targets.

        Parameters
        ----------
        path : path-like
            File whose name ends with ``.ecsv``.
        overwrite : bool
            Replace an existing file. Default is False.

        Raises
        ------
        ValueError
            If the name has another ending, or there are no targets.
        FileExistsError
            If the file exists and ``overwrite`` is False.
        """
        path = Path(path)
        if path.suffix != ".ecsv":
            raise ValueError(f"{path}: targets are written as ECSV; end the name with .ecsv.")
        if not self._targets:
            raise ValueError(f"{path}: there are no targets to write.")
        with atomic_path(path, overwrite) as temporary:
            write_ecsv(self._targets, temporary)

    @property
    def table(self):
        """Table (`~astropy.table.QTable`) with one row per target.

        Unknown J-factors, widths and texts are masked, other unknown values are NaN.
        """
        return to_qtable(self._targets)

    @property
    def names(self):
        """Names of the targets, in order."""
        return [target.name for target in self._targets]

    def missing(self, process="annihilation"):
        """What is not known of targets but a limit may need.

        Parameters
        ----------
        process : {"annihilation", "decay"}
            Default is "annihilation".

        Returns
        -------
        missing : dict
            See `Target.missing`, by ``name:version``; targets that lack nothing are left out.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> len(Targets.read_roster("pace2018_all").missing())
        14
        """
        missing = {target.key: target.missing(process) for target in self._targets}
        return {key: names for key, names in missing.items() if names}

    def select(
        self,
        names=None,
        *,
        version=None,
        has_jfactor=None,
        has_jfactor_err=None,
        min_log10_jfactor=None,
        max_distance=None,
        center=None,
        radius=None,
        process="annihilation",
    ):
        """Keep the targets that fulfil all conditions.

        A target whose value is unknown does not fulfil a condition on it; the log says which.

        Parameters
        ----------
        names : str or list of str, optional
            Names or patterns such as ``"leo_*"``. A name that fits nothing is an error.
        version : str or list of str, optional
            Versions or patterns such as ``"pace2018*"``.
        has_jfactor, has_jfactor_err : bool, optional
            Whether the factor, or its width, is known.
        min_log10_jfactor : float, optional
            Least log10 of J [GeV2 cm-5], or of D [GeV cm-2] for decay.
        max_distance : `~astropy.units.Quantity` or str, optional
            Greatest distance.
        center : `~astropy.coordinates.SkyCoord`, optional
            Centre of a circle on the sky.
        radius : `~astropy.units.Quantity` or str, optional
            Radius of the circle.
        process : {"annihilation", "decay"}
            Which factor the conditions mean. Default is "annihilation".

        Returns
        -------
        targets : `Targets`
            In the same order.

        Raises
        ------
        ValueError
            If a condition is not valid.
        UnknownNameError
            If a name fits no target.

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> targets = Targets.read_roster("ackermann2015_dsphs")
        >>> targets.select("leo_*").names
        ['leo_II', 'leo_IV']
        >>> targets.select(max_distance="40 kpc").names
        ['segue_1', 'ursa_major_II', 'willman_1']
        """
        return Targets(
            select_targets(
                self._targets, factor_name(process), names=names, version=version,
                has_jfactor=has_jfactor, has_jfactor_err=has_jfactor_err,
                min_log10_jfactor=min_log10_jfactor, max_distance=max_distance, center=center,
                radius=radius,
            )
        )  # fmt: skip

    def merge(self, other, keep="error"):
        """Join with other targets, each name once.

        Parameters
        ----------
        other : `Targets` or list of `Target`
            Targets to add at the end.
        keep : {"error", "first", "last"}
            Which one to keep if a name is in both. Equal targets are no conflict. Default is
            "error".

        Returns
        -------
        targets : `Targets`

        Raises
        ------
        ValueError
            If a name is in both and ``keep`` is "error".

        Examples
        --------
        >>> from dmgammapy.targets import Targets
        >>> old = Targets.read_roster("ackermann2015_dsphs")
        >>> new = Targets.read_roster("pace2018_all")
        >>> len(old.merge(new, keep="last"))
        44
        """
        if keep not in ("error", "first", "last"):
            raise ValueError(f"keep must be 'error', 'first' or 'last', got {keep!r}.")
        other = Targets(other)
        merged = []
        mine, theirs = set(self.names), set(other.names)
        for target in self._targets:
            if target.name not in theirs or keep == "first":
                merged.append(target)
                continue
            new = other[target.name]
            if keep == "error" and new != target:
                raise ValueError(
                    f"target {target.name} is in both, as {target.key} and {new.key}; choose with "
                    "keep='first' or 'last'."
                )
            merged.append(new)
        return Targets(merged + [target for target in other if target.name not in mine])

    def copy(self):
        """Copy of the list; targets themselves can't change."""
        return Targets(self._targets)

    def __len__(self):
        return len(self._targets)

    def __iter__(self):
        return iter(self._targets)

    def __contains__(self, item):
        if isinstance(item, Target):
            return item in self._targets
        return any(item in (target.name, target.key) for target in self._targets)

    def __getitem__(self, key):
        if isinstance(key, str):
            return self._by_name(key)
        if isinstance(key, slice):
            return Targets(self._targets[key])
        if isinstance(key, (list, tuple, np.ndarray)):
            key = np.asarray(key) if np.asarray(key).dtype == bool else list(key)
            if isinstance(key, np.ndarray):
                if key.shape != (len(self),):
                    raise ValueError(f"a mask needs the shape ({len(self)},), got {key.shape}.")
                key = np.flatnonzero(key).tolist()
            return Targets([self[item] for item in key])
        try:
            return self._targets[key]
        except IndexError:
            raise IndexError(f"index {key} is out of range for {len(self)} targets.") from None

    def _by_name(self, name):
        found = [target for target in self._targets if name in (target.name, target.key)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownNameError(
                f"target {name!r} is there in several versions; name one of "
                f"{', '.join(target.key for target in found)}."
            )
        raise UnknownNameError(f"no target {name!r}; there are {closest_first(name, self.names)}.")

    def __add__(self, other):
        if isinstance(other, Target):
            other = Targets([other])
        if not isinstance(other, Targets):
            return NotImplemented
        return Targets([*self._targets, *other])

    def __eq__(self, other):
        if not isinstance(other, Targets):
            return NotImplemented
        return self._targets == other._targets

    __hash__ = None

    def __repr__(self):
        return f"Targets({len(self)}: {', '.join(self.names)})"

    def __str__(self):
        versions = {target.version for target in self._targets}
        lines = [f"Targets: {len(self)}"]
        if len(versions) == 1 and None not in versions:
            lines[0] += f", {versions.pop()}"
        width = max((len(target.key) for target in self._targets), default=0)
        for target in self._targets:
            text = "no J" if target.log10_jfactor is None else f"log10 J {target.log10_jfactor:g}"
            error = target.log10_jfactor_err
            if target.has_jfactor() and error is None:
                text += ", no width"
            elif target.has_jfactor():
                text += f" - {error[0]:g} + {error[1]:g}" if np.ndim(error) else f" +- {error:g}"
            lines.append(f"  {target.key:<{width}}  {text}")
        return "\n".join(lines)
