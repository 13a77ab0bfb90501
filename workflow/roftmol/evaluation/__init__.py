"""From fits to tables: scores, selection, and what lies behind them. Nothing here needs torch."""
