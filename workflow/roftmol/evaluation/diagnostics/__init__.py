"""What the mean test score hides, one question a file, from tables to tables.

`stage.py` reads predictions cell by cell and asks every question of each; `cells.py` is what a cell gives to answer.
"""

#: What the stage writes, one file each.
TABLES = ("shift", "cliffs", "calibration", "reliability", "similarity", "collapse")
