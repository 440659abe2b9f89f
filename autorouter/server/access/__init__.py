"""Local keys: who may use the router, for which models, and up to which budget."""
