"""What the mean test score hides, one question a file, from tables to tables.

`stage.py` reads predictions cell by cell and answers every question for each; `cells.py` holds the data of a cell.
"""

#: The tables that the stage writes, one file each.
TABLES = ("shift", "cliffs", "calibration", "reliability", "similarity", "collapse")
