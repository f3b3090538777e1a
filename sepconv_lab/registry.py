"""The door for users' own modules; what it hands on lives in `config/registry.py`."""

from .config.registry import register as register
