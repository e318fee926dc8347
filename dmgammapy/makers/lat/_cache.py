"""Products kept on disk, found again by everything that they depend on."""

import hashlib
import json
import logging
from pathlib import Path

from dmgammapy.utils import atomic_path

__all__ = ["ProductCache", "fingerprint"]

log = logging.getLogger(__name__)

BLOCK = 1 << 22
VERSION = 1  # raise it where a maker's numbers change


def fingerprint(path):
    """Hash of the content of a file, str."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class ProductCache:
    """Folder of products; without one, everything is made anew.

    Parameters
    ----------
    folder : str or `~pathlib.Path`, optional
        Made if it does not exist. Default is to keep nothing.
    """

    def __init__(self, folder=None):
        self.folder = None if folder is None else Path(folder)

    @staticmethod
    def key(*parts):
        """Short hash of what a product depends on, str.

        Parameters
        ----------
        *parts : JSON-able objects
        """
        text = json.dumps([VERSION, *parts], sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def get(self, name, key, make, read, write):
        """A product from the folder, or made and kept there.

        Parameters
        ----------
        name : str
            Begin of the name of the file, ``.fits`` is added.
        key : str
            What it depends on, as of `key`.
        make : callable
            Without arguments.
        read : callable
            Takes a path.
        write : callable
            Takes the product and a path. What is read back is what is returned, so that the
            first run and those after it give the same numbers.

        Returns
        -------
        product : object
        """
        if self.folder is None:
            return make()
        path = self.folder / f"{name}-{key}.fits"
        if not path.exists():
            product = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as part:
                write(product, part)
            log.info("wrote %s", path)
        else:
            log.info("read %s", path)
        return read(path)
