"""Whole analyses from one configuration: `DMAnalysis` and `AnalysisConfig`.

Names are imported when they are used: a run that finds everything done needs none of them.
"""

from importlib import import_module

__all__ = [
    "AnalysisConfig",
    "AnalysisError",
    "ConfigError",
    "DMAnalysis",
    "DamagedResultError",
    "Failure",
    "Results",
    "StoreLockedError",
    "convert_dmpipe_config",
]

_HOMES = {
    "AnalysisConfig": "config",
    "AnalysisError": "_run",
    "ConfigError": "config",
    "DMAnalysis": "core",
    "DamagedResultError": "store",
    "Failure": "_run",
    "Results": "_lookup",
    "StoreLockedError": "store",
    "convert_dmpipe_config": "dmpipe_config",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__():
    return sorted({*globals(), *__all__})
