"""Files that the patterns of a configuration lead to."""

import glob
import os
import re
import unicodedata
from pathlib import Path

import yaml

from dmgammapy.spectra import CHANNELS, canonical_channel

__all__ = [
    "DatasetFiles",
    "HeldTables",
    "channel_spellings",
    "common_fields",
    "letters",
    "linked_files",
    "say_left_out",
]

# what the header of an OGIP spectrum calls the files that belong to it
OGIP_KEYS = ("ANCRFILE", "RESPFILE", "BACKFILE")
# channels that have names of other letters
OTHER_NAMES = {"g": ("gluon", "gluons"), "h": ("higgs",), "gamma": ("a", "aa"), "aZ": ("gammaZ",)}


class DatasetFiles:
    """Files that a path pattern with ``{target}``, ``{profile}`` and so on leads to.

    Parameters
    ----------
    pattern : str or `~pathlib.Path`
        Absolute.
    """

    def __init__(self, pattern):
        self.pattern = str(pattern)

    def path(self, target, profile=None, **more):
        """File of a target, which may not exist."""
        values = {"target": target.name, "profile": profile or target.version or ""}
        values |= {"version": target.version or "", **more}
        text = self.pattern
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return Path(text)

    @property
    def has_channels(self):
        """Whether there is a file for each channel."""
        return "{channel}" in self.pattern

    def channel_paths(self, target, profile, label):
        """Files that a channel of a target may be in, the channel's own name first."""
        return [self.path(target, profile, channel=word) for word in channel_spellings(label)]

    @property
    def glob(self):
        """Pattern of all files, for `glob.glob`."""
        pieces = re.split(r"(?<!\$)\{\w+\}", self.pattern)
        return "*".join(glob.escape(piece) for piece in pieces)

    def unused(self, names):
        """Files that fit the pattern but belong to none of ``names``, as {path: name}."""
        pieces = re.split(r"(?<!\$)\{(\w+)\}", self.pattern)
        expression, seen = "", set()
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                expression += re.escape(piece)
            elif piece in seen:
                expression += f"(?P={piece})"
            elif piece == "channel":
                # names of channels and of targets may have an underscore: known ones go first
                expression += f"(?P<channel>{_known_spellings()}|[^/\\\\]+?)"
                seen.add(piece)
            else:
                expression += rf"(?P<{piece}>[^/\\]+)"
                seen.add(piece)
        found = {}
        for text in sorted(glob.glob(self.glob)):
            match = re.fullmatch(expression, text)
            if match and "target" in seen and match["target"] not in names:
                found[Path(text)] = match["target"]
        return found


def common_fields(fields, n=None):
    """Blank fields that all targets have, by number.

    Parameters
    ----------
    fields : dict
        By owner, numbers of files with their paths, or a list of those that have no number and
        are taken in order.
    n : int, optional
        The first so many. Default is all.

    Returns
    -------
    common : list of dict
        Of each field the path by owner.
    left_out : dict
        Owners that have no file, by number of a field that is not used.

    Examples
    --------
    >>> from dmgammapy.analysis._files import common_fields
    >>> common_fields({"draco": {1: "d1", 3: "d3"}, "segue_1": {1: "s1", 2: "s2", 3: "s3"}})[0]
    [{'draco': 'd1', 'segue_1': 's1'}, {'draco': 'd3', 'segue_1': 's3'}]
    """
    numbered = {owner: files for owner, files in fields.items() if isinstance(files, dict)}
    lengths = [len(files) for owner, files in fields.items() if owner not in numbered]
    common, left_out = [], {}
    numbers = sorted({number for files in numbered.values() for number in files})
    for number in numbers or range(min(lengths, default=0)):
        if len(common) == min([*lengths, *([] if n is None else [n])], default=len(numbers)):
            break
        without = [owner for owner, files in numbered.items() if number not in files]
        if without:
            left_out[number] = without
            continue
        i = len(common)
        common.append(
            {owner: f[number] if owner in numbered else f[i] for owner, f in fields.items()}
        )
    return common, left_out


def say_left_out(left_out):
    """Which blank fields are not used, in words: a line for each set of targets without them."""
    groups = {}
    for number, owners in left_out.items():
        groups.setdefault(tuple(owners), []).append(f"{number:04d}")
    found = []
    for owners, numbers in groups.items():
        several = len(numbers) > 1
        names = ", ".join(owner.removeprefix("blank/castro/") for owner in owners)
        found.append(
            f"field{'s' * several} {', '.join(numbers)} {'are' if several else 'is'} left out, "
            f"there is no file of {names}."
        )
    return found


def channel_spellings(label):
    """Names that a channel may have in names of files, its own first.

    Parameters
    ----------
    label : str
        Canonical name; of a mixture there is no other.

    Returns
    -------
    names : list of str
        For example b, bb, b+b-, bbbar, bb-bar.

    Examples
    --------
    >>> from dmgammapy.analysis._files import channel_spellings
    >>> channel_spellings("W")
    ['W', 'WW', 'w', 'ww', 'W+W-', 'w+w-']
    """
    short = label.replace("_", "")
    words = [label, 2 * label, short, 2 * short]
    words += [word.lower() for word in words]
    words += [form.format(label) for form in ("{0}+{0}-", "{0}{0}bar", "{0}{0}-bar")]
    words += [f"{label}+{label}-".lower(), *OTHER_NAMES.get(label, ())]
    found = [label]
    for word in words:
        try:
            if canonical_channel(word) == label:
                found.append(word)
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def _known_spellings():
    """Regular expression of all names of channels, the longest first."""
    words = {word for label in CHANNELS for word in channel_spellings(label)}
    return "|".join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))


class HeldTables:
    """What a file of likelihood tables of several targets holds (lklcom).

    Parameters
    ----------
    path : `~pathlib.Path`

    Raises
    ------
    ValueError
        If it can't be read.
    """

    def __init__(self, path):
        from dmgammapy.estimators.io import list_lklcom_tables

        self.path = path
        # data only: the others are simulations
        self.names = [names[:3] for names in list_lklcom_tables(path) if names[3] == "data"]

    def choose(self, target, instrument, labels, alone=False):
        """Names in the file of what an analysis is about.

        Parameters
        ----------
        target : str
            As in the file, or the only one with the same letters and digits.
        instrument : str or None
            The same; None for the only one.
        labels : list of str
            Channels.
        alone : bool
            Take the only target of the file by whatever name. Default is False.

        Returns
        -------
        options : dict
            ``instrument``, ``target`` and ``channel`` (a list), or None if there is no table of
            the target and instrument.

        Raises
        ------
        ValueError
            If instruments or names are ambiguous, or channels are missing.
        """
        mine = [names for names in self.names if letters(names[1]) == letters(target)]
        mine = self._exact(mine, 1, target)
        if alone and len(self.targets(None)) == 1:
            mine = self.names
        if instrument:
            mine = [names for names in mine if letters(names[0]) == letters(instrument)]
            mine = self._exact(mine, 0, instrument)
        instruments = list(dict.fromkeys(names[0] for names in mine))
        if len(instruments) > 1:
            raise ValueError(
                f"{self.path}: it holds {target} of {', '.join(instruments)}; choose one with "
                "instrument, or name each below datasets."
            )
        if not mine:
            return None
        present = [names[2] for names in mine]
        found, missing = [], []
        for label in labels:
            words = channel_spellings(label)
            word = next((word for word in words if word in present), None)
            if word is None:
                missing.append(f"{label} (looked for {', '.join(words)})")
            found.append(word)
        if missing:
            raise ValueError(
                f"{self.path}: no channel {'; '.join(missing)} of {target} and {instruments[0]}, "
                f"which has {', '.join(present)}; take it out of channels, or leave the target out "
                "with targets."
            )
        return {"instrument": instruments[0], "target": mine[0][1], "channel": found}

    def _exact(self, names, level, wanted):
        """Of names with the same letters the equal one, if there is one."""
        equal = [one for one in names if one[level] == wanted]
        different = list(dict.fromkeys(one[level] for one in names))
        if not equal and len(different) > 1:
            raise ValueError(
                f"{self.path}: {wanted} may be {' or '.join(different)}; name it as in the file."
            )
        return equal or names

    def targets(self, instrument):
        """Names of the targets in the file, of an instrument or of all."""
        return list(
            dict.fromkeys(
                names[1]
                for names in self.names
                if not instrument or letters(names[0]) == letters(instrument)
            )
        )

    @property
    def instruments(self):
        """Names of the instruments in the file."""
        return list(dict.fromkeys(names[0] for names in self.names))


def letters(name):
    """Letters and digits of a name: "Ursa Major II" is ursa_major_II."""
    plain = unicodedata.normalize("NFKD", name).lower()
    return "".join(c for c in plain if c.isascii() and c.isalnum())


def linked_files(path):
    """Files that a YAML file of Gammapy leads to: counts, templates.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        Of datasets or models; one that is no YAML file leads nowhere.

    Returns
    -------
    paths : list of `~pathlib.Path`
        Those that are there, in the order of the file.
    """
    path = Path(path)
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    found = []
    for name in _values(data, "filename"):
        expanded = Path(os.path.expandvars(str(name))).expanduser()
        for candidate in (path.parent / expanded, expanded):
            if candidate.is_file():
                found += [candidate.absolute(), *_ogip_files(candidate)]
                break
    return list(dict.fromkeys(found))


def _values(data, key):
    """Values of a key anywhere in nested lists and mappings."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name == key and isinstance(value, str):
                yield value
            else:
                yield from _values(value, key)
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key)


def _ogip_files(path):
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            headers = [hdu.header for hdu in hdus]
    except OSError:
        return []
    names = {str(h[key]) for h in headers for key in OGIP_KEYS if key in h}
    paths = [path.parent / name for name in sorted(names)]
    return [p.absolute() for p in paths if p.is_file()]
