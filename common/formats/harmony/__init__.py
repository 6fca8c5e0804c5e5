"""Object lists of Harmony (Operetta CLS, Opera Phenix): text files, each with a head and the objects of one population.

head: the encoding, the head and the header of a file. columns: what its columns become. image_sets: where each image
set's rows lie, and how they are cut into parts. layout and reader: the two faces of every format.
"""
