"""OpenCode 1.18: any of the three APIs by its provider's `npm` package. It asks for a title in parallel with the first request,
in the same session. A stream that ends without a finish reason makes it ask again for ever."""

from autorouter.clients.profile import CHAT_NEEDS, ClientProfile, LaunchOptions

OPENCODE = ClientProfile(
    name="opencode",
    title="OpenCode",
    user_agents=("opencode",),
    wrappers=("system-reminder",),
    session_headers=("x-session-id", "x-session-affinity"),
    session_fields=(("prompt_cache_key",),),
    housekeeping_systems=("title generator", "thread title", "summarizing conversations"),
    housekeeping_prompts=("generate a title for this conversation",),
    shell_tools=("bash",),
    write_tools=("write",),
    patch_tools=("apply_patch",),
    edit_tools=("edit", "multiedit"),
    look_tools=("read", "glob", "grep", "list"),
    poll_tools=("todowrite", "todoread"),
    edit_failures=(
        r"(?:The )?old_?[Ss]tr(?:ing)? (?:was )?not found\b.*",
        r"Found multiple matches for oldString\b.*",
        r"apply_patch verification failed\b.*",
    ),
    overflow_mark="exceeds the context window",
    needs=CHAT_NEEDS,
    program="opencode",
    launch=LaunchOptions(config_env="OPENCODE_CONFIG_CONTENT"),
)
