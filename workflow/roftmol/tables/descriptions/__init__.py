"""What tables and columns mean, one YAML file beside each of the stages' in `tables/`."""
