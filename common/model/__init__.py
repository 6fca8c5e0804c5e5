"""The words of the project as types: they know nothing of files.

manifest: parts, sources, schemas. preset, naming, column_types: what columns are called and hold.
provenance: who made this.
"""
