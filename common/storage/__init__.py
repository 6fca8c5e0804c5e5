"""Where bytes lie: locations, walking a tree, atomic outputs, locks, object stores, the download cache.

location: a path, or a prefix or object of a store. destination: what appears only when complete.
object_store: the interface to S3, GCS and Azure; *_bucket: its implementations.
"""
