"""Kinds of files: one package each, with two faces that `protocol` declares and `registry` finds by the kind's name.

``layout`` says what lies in a source (`source_layout`, `samples`, `other_tables` are shared by all kinds), ``reader``
reads it into Arrow tables. A new kind is one more package and one preset.
"""
