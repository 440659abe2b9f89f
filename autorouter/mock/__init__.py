"""The dry run as a server on a real socket: every wire, every fault of the catalogue, for anybody's client or router."""
