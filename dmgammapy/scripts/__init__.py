"""The command line ``dmgammapy``."""
