"""The mock server: the dry run on a real socket, for any client or router. Every wire, every fault of the catalog."""
