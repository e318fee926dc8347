"""The folder of results: written aside, then put in place as a whole."""

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MANIFEST", "ResultsFolder"]

MANIFEST = "manifest.json"
STAGE = ".writing-"


class ResultsFolder:
    """Folder that receives the files of a run, all of them or none.

    Files are first written to a hidden folder inside; only when all are there do they replace
    those of an earlier run. Files that no run has written are never removed.

    Parameters
    ----------
    path : str or `~pathlib.Path`
    overwrite : bool
        Allow a folder that holds something. Default is False.
    """

    def __init__(self, path, overwrite=False):
        self.path = Path(path)
        self.overwrite = overwrite

    def check(self):
        """Raise FileExistsError if the folder may not be written to."""
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path}: the output must be a folder, this is a file.")
        if self.overwrite or not self.path.is_dir():
            return
        found = sorted(p.name for p in self.path.iterdir() if not p.name.startswith(STAGE))
        if found:
            what = "results" if MANIFEST in found else f"files ({', '.join(found[:3])} ...)"
            raise FileExistsError(
                f"{self.path} holds {what} already: choose another output, or replace them with "
                "--overwrite (in Python: run(overwrite=True))."
            )

    @contextmanager
    def stage(self, manifest):
        """Give a folder to write to; its files are put in place when the block succeeds.

        Parameters
        ----------
        manifest : dict
            Goes to ``manifest.json``, with the list of files.
        """
        self.check()
        made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=self.path))
        try:
            yield stage
            self._put_in_place(stage, manifest)
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            for folder in made:  # innermost first
                if not any(folder.iterdir()):
                    folder.rmdir()
            raise
        shutil.rmtree(stage, ignore_errors=True)

    def _put_in_place(self, stage, manifest):
        files = sorted(p.relative_to(stage) for p in stage.rglob("*") if p.is_file())
        old = self._written_before()
        text = json.dumps(manifest | {"files": [p.as_posix() for p in files]}, indent=1)
        (stage / MANIFEST).write_text(text + "\n", encoding="utf-8")
        # without a manifest the folder is known to be incomplete
        (self.path / MANIFEST).unlink(missing_ok=True)
        for name in old - set(files):
            (self.path / name).unlink(missing_ok=True)
        for name in files:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / name, self.path / name)
        os.replace(stage / MANIFEST, self.path / MANIFEST)

    def _written_before(self):
        """Relative paths of the files of an earlier run."""
        try:
            files = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))["files"]
            names = {Path(name) for name in files}
        except (OSError, ValueError, KeyError, TypeError):
            return set()
        return {name for name in names if not name.is_absolute() and ".." not in name.parts}
