"""Continue's CLI `cn` 1.5: Chat through a JavaScript library that calls itself `ls/JS`. It sends no session."""

from autorouter.clients.profile import CHAT_NEEDS, ClientProfile

CONTINUE = ClientProfile(
    name="continue",
    title="Continue",
    user_agents=("ls/js",),
    shell_tools=("bash", "run_terminal_command"),
    write_tools=("write", "create_new_file"),
    edit_tools=("edit",),
    look_tools=("read", "list"),
    needs=CHAT_NEEDS,
    program="cn",
)
