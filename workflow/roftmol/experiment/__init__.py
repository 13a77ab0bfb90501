"""What `config.yaml` asks for, and what it will cost. Nothing here needs torch."""
