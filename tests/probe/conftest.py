"""The probe's tests may put a router behind the server of the server's tests."""

from tests.server.conftest import dry, relay, route, router, server, start

__all__ = ["dry", "relay", "route", "router", "server", "start"]
