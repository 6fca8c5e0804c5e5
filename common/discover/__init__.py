"""From a source to a manifest.

source: the manifest, its parts and the schema of every table. recognition: the preset that a source fits.
path_metadata: metadata from the paths of datasets. summary: a manifest and presets as text for people.
"""
