"""Codex CLI 0.169: Responses only, the whole history with every request, sub-agents with a thread of their own.

It takes an overflow for one only as `response.failed` in a stream, and gives up at any 400 (codex-api: `sse/responses.rs`,
`api_bridge.rs`). The built-in provider tries a WebSocket first.
"""

from autorouter.clients.profile import ClientProfile, LaunchOptions

TURN_METADATA_HEADER = "x-codex-turn-metadata"
"""A JSON object: `turn_id`, `request_kind` (`turn` or `compaction`), `thread_source`. The same is in `client_metadata`."""
WEBSOCKET_REFUSED = 426
"""The one status at which it falls back to HTTP at once; after a 404 it tries seven times."""

CODEX = ClientProfile(
    name="codex",
    title="Codex",
    api="responses",
    name_headers=("originator",),
    user_agents=("codex",),
    wrappers=(
        "environment_context",
        "user_instructions",
        "skills_instructions",
        "permissions instructions",
        "INSTRUCTIONS",
        "turn_aborted",
    ),
    compaction_summaries=("Another language model started to solve this problem",),
    session_headers=("thread-id",),
    session_fields=(("prompt_cache_key",),),
    parent_headers=("x-codex-parent-thread-id",),
    compaction_prompts=("you are performing a context checkpoint compaction",),
    shell_tools=("exec_command", "shell_command", "shell", "local_shell", "container.exec"),
    patch_tools=("apply_patch",),
    look_tools=("view_image",),
    poll_tools=("write_stdin", "update_plan"),
    edit_failures=(r"apply_patch verification failed\b.*", r"patch rejected: .*"),
    overflow_as_stream_event=True,
    needs=("responses.stream", "responses.tools"),
    program="codex",
    launch=LaunchOptions(config_flag="-c"),
)
