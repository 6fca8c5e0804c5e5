"""Reads the tables of parts; the formats' readers read the files."""
