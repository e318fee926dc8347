"""Names of the methods of limits, and which of them a result was made with."""

import re

__all__ = ["METHOD_NAMES", "limit_method", "method_name", "relevant_notes"]

PROFILE = "profile"
METHOD_NAMES = {
    PROFILE: "profile likelihood",
    "cls": "CLs",
    "clsb": "CLs+b",
    "power_constrained": "power-constrained",
    "feldman_cousins": "Feldman-Cousins",
}
OF_WIDTHS = "CLs is approximate."  # how notes on methods that need the width of estimators end


def method_name(method):
    """A method of limits as a reader knows it.

    Parameters
    ----------
    method : str
        Such as "cls"; an unknown one is returned as words.

    Returns
    -------
    name : str

    Examples
    --------
    >>> from dmgammapy.analysis._limit_methods import method_name
    >>> method_name("cls"), method_name("my_method")
    ('CLs', 'my method')
    """
    return METHOD_NAMES.get(method, str(method).replace("_", " "))


def limit_method(castro):
    """Method of the limits of a result, as its notes say; ``profile`` if they say nothing.

    Parameters
    ----------
    castro : `~dmgammapy.estimators.CastroMaps`
        Result, ensemble or bands.

    Returns
    -------
    method : str
    """
    notes = " ".join(castro.meta.notes)
    found = re.findall(r"upper limits by the method '(\w+)'", notes)
    found += re.findall(r"asymptotic bands of (\w+) limits", notes)
    return found[-1] if found else PROFILE


def relevant_notes(notes):
    """Notes without that of stacks on CLs: here all methods are given Asimov data.

    Parameters
    ----------
    notes : list of str

    Returns
    -------
    notes : list of str
    """
    return [note for note in notes if not str(note).endswith(OF_WIDTHS)]
