"""The vocabulary of Hu et al. 2020 (arXiv 1905.12265), which Mole-BERT, GraphMAE and others share.

An atom is its element and its chirality tag, a bond its type and its direction; each is a row of an embedding table.
"""

#: Elements 1..118 are rows 0..117; row 118 stays unused, 119 is the mask of pretraining.
ELEMENTS = 120
MASKED_ELEMENT = 119
CHIRALITIES = 3
#: Bond types 0..3 are single, double, triple, aromatic; 4 is the self-loop, 5 the mask of pretraining.
BOND_TYPES = 6
SELF_LOOP = 4
BOND_DIRECTIONS = 3
