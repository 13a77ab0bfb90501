"""From scores to statements: what differs, by how much, and how sure that is, however a score was made."""
