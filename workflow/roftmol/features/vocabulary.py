"""The vocabulary of Hu et al. 2020 (arXiv 1905.12265), which Mole-BERT, GraphMAE and others share.

An atom is its element and its chirality tag, a bond its type and its direction; each is a row of an embedding table.
"""

#: Elements 1..118 are rows 0..117; 118 stays unused, 119 is the mask of pretraining.
ELEMENTS, MASKED_ELEMENT = 120, 119
CHIRALITIES = 3
#: Bond types 0..3 are single, double, triple, aromatic; 4 is the self-loop, 5 the mask of pretraining.
BOND_TYPES, SELF_LOOP = 6, 4
BOND_DIRECTIONS = 3
