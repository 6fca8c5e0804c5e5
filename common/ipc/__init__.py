"""Arrow IPC between the stages.

stream_writer, stream_reader: streams and files that end in a closing record.
manifest_files, bundle, profiles: the three things that are exchanged.
"""
