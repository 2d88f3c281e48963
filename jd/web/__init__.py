"""What the Hub's pages and the dashboard share: how pages are served, their look, their script."""
