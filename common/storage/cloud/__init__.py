"""Object stores: locations in them, outputs, credentials, retries, the download cache.

object_store: the interface to S3, GCS and Azure; *_bucket: its implementations.
"""
