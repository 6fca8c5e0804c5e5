"""Presets: one TOML file per kind of source."""
