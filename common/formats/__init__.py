"""Kinds of files: one package each, with two faces that `protocol` declares and `registry` finds by the kind's name.

``layout`` says what lies in a source (`source_layout`, `samples`, `image_sets`, `other_tables` are shared), ``reader``
reads it into Arrow tables (`blank_rows` drops rows that are no object). A new kind is one more package and one preset.
"""
