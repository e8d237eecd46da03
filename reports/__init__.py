"""What a person reads: tables for the terminal, JSON, CSV, Markdown, pages, plots."""
