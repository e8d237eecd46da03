"""Self-contained HTML pages: everything inline, nothing from the network."""
