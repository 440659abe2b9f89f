"""Claude Code 2.1: Messages only. The human's words are the last block of a user message, after reminders; a system message
inside `messages` may follow. Sub-agents share the session and add an id. It repeats a broken stream, later without streaming."""

from autorouter.clients.profile import ClientProfile, LaunchOptions

CLAUDE_CODE = ClientProfile(
    name="claude-code",
    title="Claude Code",
    api="messages",
    user_agents=("claude-cli",),
    wrappers=("system-reminder", "local-command-stdout", "command-message", "command-name"),
    compaction_summaries=("This session is being continued from a previous",),
    dropped_system_blocks=("x-anthropic-billing-header:",),
    session_headers=("x-claude-code-session-id",),
    session_fields=(("metadata", "user_id", "session_id"),),
    agent_headers=("x-claude-code-agent-id",),
    housekeeping_systems=("concise title", "summarizing conversations"),
    housekeeping_prompts=("write a 5-10 word title", "suggest a branch name"),
    compaction_prompts=("critical: respond with text only. do not call any tools",),
    shell_tools=("bash",),
    write_tools=("write",),
    edit_tools=("edit", "multiedit", "notebookedit"),
    look_tools=("read", "glob", "grep"),
    poll_tools=("todowrite", "bashoutput"),
    edit_failures=(
        r"File has (?:not been read yet|been \w* ?modified since)\b.*",
        r"[Ss]tring to replace (?:was )?not found\b.*",
        r"Found \d+ matches of the string to replace, but .*",
    ),
    overflow_mark="prompt is too long",
    needs=("messages.whole", "messages.stream", "messages.tools"),
    program="claude",
    launch=LaunchOptions(),
)
