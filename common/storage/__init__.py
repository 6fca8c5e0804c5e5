"""Where bytes lie: locations, walking a tree, outputs that appear only when complete, locks, temporary names.

location: a path, or a prefix or object of a store. destination: what appears only when complete.
cloud: the same for S3, GCS and Azure.
"""
