"""Aider 0.86: Chat through LiteLLM, without tools. Edits are text in a format that the system text describes, and what went wrong
with them comes back as a user message. The user agent is the OpenAI library's, and it sends no session."""

from autorouter.clients.profile import CHAT_NEEDS, ClientProfile, LaunchOptions

AIDER = ClientProfile(
    name="aider",
    title="Aider",
    user_agents=("aider",),
    system_marks=("Act as an expert software developer", "You are an expert software engineer"),
    appended=(
        "\n\nTo suggest changes to a file you MUST",
        "\n\n# *SEARCH/REPLACE block* Rules",
        "\n\n# File editing rules:",
        "\n\nReply in English.",
    ),
    few_shot=(
        "Change the greeting to be more casual",
        "Change get_factorial() to use math.factorial",
        "Refactor hello() into its own file.",
        "I switched to a new code base.",
        "Here are summaries of some files present",
        "Don't try and edit any existing code without asking",
        "I have *added these files to the chat*",
        "I am not sharing any files",
    ),
    housekeeping_systems=("generates concise, one-line git commit messages",),
    compaction_prompts=("*briefly* summarize this partial conversation",),
    edit_formats={
        "*** Begin Patch": "patch",
        "SEARCH/REPLACE": "search_replace",
        "diff -U0": "unified_diff",
        "unified diff": "unified_diff",
        "file listing": "whole_file",
    },
    edit_failures=(
        r"# \d+ SEARCH/REPLACE blocks? failed to match!",
        r"(?:## \w+: )?(?:This |The )?SEARCH block .*failed to .*match.*",
    ),
    observation_starts=(
        r"# \d+ SEARCH/REPLACE blocks? failed to match!",
        r"# Fix any errors below, if possible\.",
        r"I ran this command:\n",
    ),
    overflow_mark="maximum context length",
    needs=CHAT_NEEDS,
    program="aider",
    launch=LaunchOptions(config_file_env="AIDER_MODEL_SETTINGS_FILE", config_file="model.settings.yml"),
)
