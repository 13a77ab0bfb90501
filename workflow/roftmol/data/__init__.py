"""Datasets: from a source to checked molecules, their geometry, their splits, and what is known of them."""
