"""From scores to statements: what differs, by how much, and how sure that is, however a score was made."""

#: What the stage writes, beside the aggregated tables that it reads.
TABLES = ("comparisons", "mean_ranks", "pairs", "crossed", "exposed")
