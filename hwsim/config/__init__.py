"""Configuration of a study: a TOML file, read, checked and written back."""

from hwsim.config.read import load_config, resolve
from hwsim.search.settings import StudyConfig
from hwsim.search.toml_text import to_toml

__all__ = ["StudyConfig", "load_config", "resolve", "to_toml"]
