"""What the router remembers between requests, as pure folds: one candidate's health, one conversation's session."""
