"""From a configuration to limits, files and figures: `DMAnalysis`."""

import logging
import time
from functools import cached_property
from pathlib import Path

from astropy.table import vstack

from dmgammapy import __version__
from dmgammapy.estimators import CastroEstimator, StackedDMLikelihood
from dmgammapy.utils import atomic_path

from ._figures import write_figures
from ._inputs import (
    DatasetFiles,
    missing_jfactor,
    named_targets,
    read_dataset,
    read_published,
    read_scan_spectra,
    read_targets,
)
from ._results import ResultsFolder
from ._summary import write_summary
from .config import AnalysisConfig

__all__ = ["DMAnalysis"]

log = logging.getLogger(__name__)

DEFAULT_OUTPUT = "results"
GO_ON = "To go on without such targets set execution: {on_error: skip}."


class DMAnalysis:
    """Limits from the likelihoods of many targets.

    `run` does all steps: `read_targets`, `read_datasets`, `estimate`, `combine` and `write`. No
    target is dropped silently: each is in `targets` or, with the reason, in `skipped`.

    Parameters
    ----------
    config : `AnalysisConfig` or dict
    output : str or `~pathlib.Path`, optional
        Folder of the results, instead of the configuration's; relative to the current folder.
    n_jobs : int, optional
        Instead of the configuration's.

    Attributes
    ----------
    targets : list of `~dmgammapy.targets.Target`
        Targets that are used.
    skipped : dict
        Reason by name of every target that is not.
    unused_files : dict
        Name by path of files that fit the pattern but belong to no target of the roster.
    files : dict
        File by name of each target that is used.
    datasets : list of `~dmgammapy.datasets.SEDLikelihoodDataset`
    castros : list of `~dmgammapy.estimators.CastroMaps`
        One per target, its J-factor not yet treated.
    stack : `~dmgammapy.estimators.StackedDMLikelihood`
    combined : `~dmgammapy.estimators.CastroMaps`
    seconds : float
        Time that the last `run` took.

    Examples
    --------
    The bundled example, without writing anything:

    >>> from dmgammapy.analysis import DMAnalysis
    >>> from dmgammapy.analysis.example import EXAMPLE_FOLDER
    >>> analysis = DMAnalysis.read(EXAMPLE_FOLDER / "config.yaml")
    >>> for step in (analysis.read_targets, analysis.read_datasets, analysis.estimate):
    ...     step()
    >>> analysis.combine()
    >>> len(analysis.targets), analysis.skipped
    (15, {})
    >>> analysis.combined.sigmav_ul.quantity.shape
    (2, 24, 1, 1)
    """

    def __init__(self, config, output=None, n_jobs=None):
        if isinstance(config, dict):
            config = AnalysisConfig.from_dict(config)
        if not isinstance(config, AnalysisConfig):
            raise TypeError(
                f"config must be an AnalysisConfig or a dict, got {type(config).__name__}; "
                "use DMAnalysis.read for a file."
            )
        if n_jobs == 0:
            raise ValueError("n_jobs must be a positive number of workers, or -1, got 0.")
        self.config = config
        self.n_jobs = config.execution.n_jobs if n_jobs is None else n_jobs
        self.output = self._output(output)
        self.targets, self.skipped, self.unused_files, self.files = [], {}, {}, {}
        self.datasets, self.castros = [], []
        self.stack = self.combined = self.seconds = None
        self._contributions = self._target_maps = None

    @classmethod
    def read(cls, path, **kwargs):
        """Prepare the analysis that a YAML file describes.

        Parameters
        ----------
        path : str or `~pathlib.Path`
        **kwargs
            Passed to the class.

        Raises
        ------
        ConfigError
            With file, line and key of everything that is wrong.
        """
        return cls(AnalysisConfig.read(path), **kwargs)

    def _output(self, output):
        if output is not None:
            return Path(output).expanduser().resolve()
        if self.config.output is not None:
            return self.config.resolve(self.config.output, ("output",))
        return Path(DEFAULT_OUTPUT).resolve()

    @cached_property
    def spectra(self):
        """Photon yields; they hold all channels and masses of the configuration."""
        return read_scan_spectra(self.config)

    @cached_property
    def published(self):
        """Published limits to draw, lists of tables by channel."""
        return read_published(self.config)

    # ---- steps -------------------------------------------------------------------------------

    def run(self, overwrite=False):
        """Run all steps and write the results.

        Parameters
        ----------
        overwrite : bool
            Replace the results of an earlier run. Default is False.

        Returns
        -------
        combined : `~dmgammapy.estimators.CastroMaps`

        Raises
        ------
        FileExistsError
            If the output folder holds something and ``overwrite`` is False.
        ConfigError
            If the configuration does not fit the rosters or spectra.
        ValueError
            If no target can be used, or a file can't be.
        """
        start = time.perf_counter()
        ResultsFolder(self.output, overwrite).check()
        # what is wrong in the configuration shall show before anything takes time
        _ = self.spectra, self.published
        self.read_targets()
        self.read_datasets()
        self.estimate()
        self.combine()
        self.write(overwrite=overwrite, start=start)
        self.seconds = time.perf_counter() - start
        return self.combined

    def read_targets(self):
        """Choose targets and find their files; fills ``targets``, ``skipped``, ``files``.

        Raises
        ------
        ConfigError
            If no target can be used, or one that the configuration names has no file or no J
            (unless ``execution: {on_error: skip}``).
        """
        config = self.config
        chosen, self.skipped = read_targets(config)
        self._names = [t.name for t in chosen] + list(self.skipped)
        pattern = DatasetFiles(config.resolve(config.datasets.path, ("datasets", "path")))
        self.unused_files = pattern.unused(self._names)
        self.targets, self.files = [], {}
        named = named_targets(config)
        missing = {}
        for target in chosen:
            path = pattern.path(target.name)
            reason = missing_jfactor(target, config.process, config.jfactor.method)
            if not path.is_file():
                reason = f"no file {path}"
            if reason:
                missing[target.name] = self.skipped[target.name] = reason
            else:
                self.targets.append(target)
                self.files[target.name] = path
        self._require_targets()
        reasons = [f"target {name}: {why}" for name, why in missing.items() if name in named]
        if reasons and config.execution.on_error == "stop":
            raise config.error(("targets",), "\n".join([*reasons, GO_ON]))
        for name, why in missing.items():
            log.warning("target %s is skipped: %s", name, why)

    def _require_targets(self):
        if not self.targets:
            reasons = "\n".join(f"- {name}: {why}" for name, why in self.skipped.items())
            raise self.config.error(
                ("datasets", "path"), f"none of {len(self.skipped)} targets can be used:\n{reasons}"
            )

    def read_datasets(self):
        """Read the likelihoods; fills ``datasets``."""
        self.datasets, read = [], []
        spectra = self.spectra  # whose errors are about no target
        for target in self.targets:
            path = self.files[target.name]
            try:
                dataset = read_dataset(self.config, target, path, self._names, spectra)
            except (ValueError, OSError, KeyError) as error:
                if self.config.execution.on_error == "stop":
                    raise ValueError(f"target {target.name}: {error}\n{GO_ON}") from error
                log.warning("target %s is skipped: %s", target.name, error)
                self.skipped[target.name] = str(error)
                del self.files[target.name]
            else:
                self.datasets.append(dataset)
                read.append(target)
        self.targets = read
        self._require_targets()

    def estimate(self):
        """Convert the likelihoods; fills ``castros``."""
        config = self.config
        estimator = CastroEstimator(
            masses=config.mass_grid,
            channels=config.channels,
            spectra=self.spectra,
            process=config.process,
            norm_type=config.norm_type,
            cl=config.limits.cl,
            n_jobs=self.n_jobs,
        )
        self.castros = estimator.run(self.datasets)
        for target, castro in zip(self.targets, self.castros, strict=True):
            castro.meta.origin = str(self.files[target.name])

    def combine(self):
        """Stack the targets; fills ``stack`` and ``combined``."""
        self.stack = StackedDMLikelihood(
            self.castros, method=self.config.jfactor.method, cl=self.config.limits.cl
        )
        self.combined = self.stack.run()
        self._contributions = self._target_maps = None

    def write(self, overwrite=False, start=None):
        """Write everything to ``output``: all files, or none if one fails.

        Parameters
        ----------
        overwrite : bool
            Replace the results of an earlier run. Default is False.
        start : float, optional
            `time.perf_counter` at the start, for the time that the summary tells.
        """
        manifest = {
            "creator": f"dmgammapy {__version__}",
            "config": self.config.model_dump(mode="json"),
            "config_file": None if self.config.path is None else str(self.config.path),
            "targets": {name: str(path) for name, path in self.files.items()},
            "skipped": self.skipped,
        }
        with ResultsFolder(self.output, overwrite).stage(manifest) as folder:
            for castro in self.castros:
                castro.write(folder / f"castro_{castro.meta.target}.fits")
            self.combined.write(folder / "combined.fits")
            with atomic_path(folder / "limits.ecsv") as path:
                self.limits.write(path, format="ascii.ecsv")
            if self.config.plots.enabled:
                (folder / "plots").mkdir()
                write_figures(self, folder / "plots")
            self.seconds = None if start is None else time.perf_counter() - start
            with atomic_path(folder / "summary.txt") as path:
                path.write_text(self.summary, encoding="utf-8")

    # ---- results -----------------------------------------------------------------------------

    def _require(self, step):
        if self.combined is None:
            raise RuntimeError(f"{step} needs the combined result: call run() or combine() first.")

    @property
    def target_maps(self):
        """Result of each target alone, its J treated as in the stack: dict of `CastroMaps`."""
        self._require("target_maps")
        if self._target_maps is None:
            self._target_maps = self.stack.target_maps
        return self._target_maps

    @property
    def contributions(self):
        """Share of each target in the combined limit, see `StackedDMLikelihood.contributions`."""
        self._require("contributions")
        if self._contributions is None:
            self._contributions = self.stack.contributions
        return self._contributions

    @property
    def limits(self):
        """Limits of the combination (target ``combined``) and of each target, as a table.

        Returns
        -------
        table : `~astropy.table.QTable`
            Columns target, channel, mass [GeV], those of `CastroMaps.to_table`.
        """
        self._require("limits")
        rows = []
        for name, castro in {"combined": self.combined, **self.target_maps}.items():
            table = castro.to_table()
            table.add_column([name] * len(table), index=0, name="target")
            table.meta.clear()
            rows.append(table)
        table = vstack(rows)
        meta = self.combined.meta
        table.meta.update(
            process=meta.process,
            spectra=meta.spectra,
            cl=meta.cl,
            jfactor_method=meta.jfactor_method,
            skipped=dict(self.skipped),
            notes=list(meta.notes),
            creator=meta.creator,
        )
        return table

    @property
    def summary(self):
        """One page of text: what ran, the limits, each target used and each one skipped."""
        self._require("summary")
        return write_summary(self)

    def __repr__(self):
        state = "not run yet" if self.combined is None else f"{len(self.castros)} targets combined"
        origin = self.config.path or "a dict"
        return f"DMAnalysis(config from {origin}, output {self.output}; {state})"
