"""Names that are looked up, and errors that help to find the right one."""

from difflib import SequenceMatcher

__all__ = ["UnknownNameError", "closest_first", "look_alike"]

SHOWN = 12
CLOSE = 0.6
PART = 3  # letters that make a part of a name count as close


class UnknownNameError(KeyError, ValueError):
    """A name that is not known, or stands for several things; the message lists what is known."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


def _plain(name):
    return "".join(character for character in str(name).lower() if character.isalnum())


def _likeness(name, other):
    return SequenceMatcher(None, _plain(name), _plain(other)).ratio()


def closest_first(name, known, shown=SHOWN):
    """Text that lists known names, those that resemble ``name`` first, the rest in order."""
    known = list(dict.fromkeys(known))
    part = _plain(name)
    scores = {other: _likeness(name, other) for other in known}
    for other in known:
        if len(part) >= PART and part in _plain(other):
            scores[other] = 1.0
    close = sorted((o for o in known if scores[o] >= CLOSE), key=lambda o: -scores[o])
    names = close + [other for other in known if other not in close]
    more = f" and {len(names) - shown} others" if len(names) > shown else ""
    return (", ".join(names[:shown]) or "none") + more


def look_alike(name, known, cutoff=0.8):
    """The known name that an unknown one was probably meant to be, or None."""
    best = max(known, key=lambda other: _likeness(name, other))
    return best if _likeness(name, best) >= cutoff else None
