"""Whole analyses from one configuration: `DMAnalysis` and `AnalysisConfig`."""

from .config import AnalysisConfig, ConfigError
from .core import DMAnalysis

__all__ = ["AnalysisConfig", "ConfigError", "DMAnalysis"]
