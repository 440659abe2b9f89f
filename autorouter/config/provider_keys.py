"""Provider keys: an upstream's key from an environment variable, a private file or the system's keyring.

api_key_env = "OPENAI_API_KEY"          the environment
api_key_file = "~/.config/openai.key"   its first line; refused where others may read it
api_key_keyring = "openai:me"           service:name, by the `keyring` library (the extra `keyring`)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from autorouter.config.local_keys import check_private
from autorouter.config.schema import UpstreamConfig
from autorouter.errors import ConfigError

MAX_KEY_BYTES = 16_384
"""A key is a line; a token that an identity provider signs may have some thousand characters."""


def api_key(upstream: UpstreamConfig, env: Mapping[str, str]) -> str | None:
    """The upstream's key; None if it has none or its variable is unset. ConfigError if a file or keyring entry is
    configured and yields none."""
    if upstream.api_key_file is not None:
        return _checked(_from_file(Path(upstream.api_key_file).expanduser()), "api_key_file")
    if upstream.api_key_keyring is not None:
        return _checked(_from_keyring(upstream.api_key_keyring), "api_key_keyring")
    return env.get(upstream.api_key_env or "", "").strip() or None


def key_source(upstream: UpstreamConfig) -> str | None:
    """Where its key comes from, for display."""
    if upstream.api_key_file is not None:
        return upstream.api_key_file
    if upstream.api_key_keyring is not None:
        return f"the keyring's {upstream.api_key_keyring}"
    return upstream.api_key_env


def is_unset(upstream: UpstreamConfig, env: Mapping[str, str]) -> bool:
    """Whether its key should come from a variable that is unset. Reads neither files nor the keyring."""
    return bool(upstream.api_key_env) and not env.get(upstream.api_key_env or "", "").strip()


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            check_private(path, os.fstat(file.fileno()).st_mode)
            lines = file.read(MAX_KEY_BYTES).decode("utf-8").strip().splitlines()
    except OSError as exc:
        raise ConfigError(f"api_key_file: {path} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"api_key_file: {path} is not text") from exc
    if not lines:
        raise ConfigError(f"api_key_file: {path} is empty", hint="its first line is the key")
    return lines[0].strip()


def _from_keyring(entry: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as exc:
        raise ConfigError(
            "api_key_keyring: the keyring library is not installed", hint="pip install 'autorouter[keyring]'"
        ) from exc
    service, _, name = entry.rpartition(":")
    try:
        key = keyring.get_password(service, name)
    except KeyringError as exc:
        # the backend's message might repeat the secret, so only the type is shown
        raise ConfigError(
            f"api_key_keyring: the keyring can't be read ({type(exc).__name__})",
            hint="unlock it, or use api_key_env or api_key_file",
        ) from exc
    if not key or not key.strip():
        raise ConfigError(f"api_key_keyring: there is no entry {entry}", hint=f"keyring set {service} {name}")
    return key.strip()


def _checked(key: str, where: str) -> str:
    """The key, if an HTTP header can hold it. The error doesn't repeat it."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{where}: what stands there is no key", hint="printable ASCII without spaces")
    return key
