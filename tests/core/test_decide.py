import pytest

from autorouter.config.load import load
from autorouter.core.decision.decide import decide
from autorouter.core.policy import Budget, CandidateLimits, Policy, PolicyRule
from autorouter.core.reasons import Reason, ReasonCode
from autorouter.core.signals.features import extract_features
from autorouter.core.state.session import Session, WarmCache
from autorouter.core.types import Role, Strategy, ToolCall, ToolResult
from autorouter.errors import UnknownModel
from autorouter.receipts.messages import refusal_message
from tests.core.test_features import SEGFAULT, trouble
from tests.core.worlds import CHEAP, MIDDLE, NOW_S, POOL, STRONG, cooling, decided, model, task, world

AGENT = "You are a coding agent. " * 420


def pinned(name, seconds_ago=20.0, tokens=60_000):
    return Session(
        incumbent=name,
        at_s=NOW_S - seconds_ago,
        warm=(WarmCache(candidate=name, tokens=tokens, at_s=NOW_S - seconds_ago),),
    )


def test_hi_behind_an_agents_system_prompt_goes_to_the_cheap_model():
    assert decided(task("hi", system=AGENT, prompt_bytes=12_000, tools=("bash", "edit"))).candidate == "cheap"


@pytest.mark.parametrize(
    "ask",
    [
        "fix the off-by-one",
        "implement a lock-free queue in C++",
        SEGFAULT,
        "delete all rows of the prod users table",
    ],
)
def test_real_work_does_not_route_like_hi(ask):
    assert decided(ask).candidate != decided("hi").candidate


def test_a_risky_request_is_to_be_verified():
    assert decided("delete all rows of the prod users table").plan.strategy is Strategy.VERIFY


PROMPTS = [
    "hi", "thanks!", "what does ^a+b$ match?", "fix the off-by-one in parse_range()", "rename foo to bar in utils.py",
    "add a docstring to src/a.py", "implement a lock-free MPSC queue in C++", "delete all rows of the prod users table",
    "why does my test fail with KeyError?", "design a sharded rate limiter", "review src/auth.py for security",
    "write the README", "translate this page to German", "refactor the payment service to async", SEGFAULT,
    "my tests are failing after upgrading numpy", "migrate the production database schema", "update docs for the api",
    "prove that this scheduler has no deadlock", "reverse a linked list in Rust", "explain processes and threads",
    "format this file", "bump the version to 1.2", "make the build reproducible", "plan the release", "optimize this SQL",
    "rotate the leaked credentials", "summarize the diff", "add retries with backoff", "port this module to Go",
]  # fmt: skip


@pytest.mark.parametrize("tools", [(), ("bash", "edit", "read")])
def test_the_dial_moves_choices_on_the_default_catalog_and_never_raises_the_cost(tools):
    settings = load(None, env={}, dry_run=True)
    chosen, costs = [], []
    for dial in range(11):
        policy = Policy(dial=float(dial))
        plans = [decided(task(p, tools=tools), world(*settings.candidates), policy).plan for p in PROMPTS]
        chosen.append(tuple(p.primary for p in plans))
        costs.append([p.expected_usd for p in plans])
    assert len(PROMPTS) == 30
    assert len(set(chosen)) >= 3
    for cheaper, dearer in zip(costs[1:], costs[:-1], strict=True):
        assert all(after <= before + 1e-12 for after, before in zip(cheaper, dearer, strict=True))


def test_a_label_asks_for_a_role_a_profile_or_one_model():
    assert decided(task("hi", label="openfusion/coder")).candidate == "middle"
    assert decided(task("prove it", label="openfusion/auto:cheap")).dial == 9.0
    assert decided(task("hi", label="strong")).candidate == "strong"


def test_private_means_local_and_nothing_else():
    home = model("home", 0.0, 30, local=True)
    assert decided(task("fix it", label="openfusion/auto:private"), world(*POOL, home)).candidate == "home"
    assert decided(task("fix it", label="openfusion/auto:private")).refusal.code == "no_eligible_model"


def test_an_unknown_label_is_refused_with_the_nearest_names():
    with pytest.raises(UnknownModel, match="openfusion/coder"):
        decided(task("hi", label="openfusion/codr"))


def test_a_named_model_that_is_down_falls_back_and_says_so():
    found = decided(task("hi", label="strong"), world(health={"strong": cooling()}))
    assert found.candidate != "strong"
    assert Reason.of(ReasonCode.CANDIDATE_UNAVAILABLE, candidate="strong") in found.notes


def test_a_rule_can_name_the_candidate_or_the_strategy():
    rules = (PolicyRule(reason="secret project", keywords=("apollo",), candidate="strong"),)
    found = decided("rename apollo", policy=Policy(rules=rules))
    assert found.candidate == "strong"
    assert (
        Reason.of(ReasonCode.RULE_MATCHED, reason="secret project", condition="keyword", matched="apollo")
        in found.notes
    )


def test_the_incumbent_stays_in_a_tool_loop_and_the_arithmetic_says_why():
    step = task(
        "fix the bug",
        is_new_turn=False,
        prompt_bytes=240_000,
        tools=("bash",),
        tool_history=(ToolCall("bash", "{}"), ToolResult("ok")),
    )
    found = decided(step, world(session=pinned("middle")))
    assert found.candidate == "middle"
    assert found.switch.verdict in ("same", "stay")


def test_corroborated_trouble_moves_a_turn_to_a_better_model():
    stuck = task("fix the bug", is_new_turn=False, tools=("bash", "edit"), tool_history=trouble(6))
    found = decided(stuck, world(session=pinned("cheap", tokens=3_000)))
    assert found.candidate != "cheap"
    assert found.switch.verdict == "quality"


def test_a_pin_yields_to_health():
    found = decided(task("fix it", is_new_turn=False), world(session=pinned("middle"), health={"middle": cooling()}))
    assert found.candidate != "middle"
    assert found.switch.verdict == "forced"


def test_housekeeping_goes_to_the_cheapest_and_ignores_the_pin():
    title = task("fix it", system="You are a title generator. You output ONLY a thread title.")
    assert decided(title, world(session=pinned("strong"))).candidate == "cheap"


def test_a_prompt_beyond_every_window_is_refused_as_too_long_with_the_figures():
    found = decided(task("x", prompt_bytes=4_000_000))
    assert found.refusal.code == "context_length_exceeded"
    assert "1,000,000" in refusal_message(found.refusal.reason, found.rejections)


def test_a_prompt_beyond_one_window_goes_to_the_larger_one():
    large = model("large", 2.0, 60, context_tokens=2_000_000)
    found = decided(task("x", prompt_bytes=4_000_000), world(*POOL, large))
    assert found.candidate == "large"
    assert {r.candidate for r in found.rejections} == {"cheap", "middle", "strong"}


def test_images_go_only_to_models_that_see():
    blind = model("blind", 0.01, 99, capabilities=frozenset())
    found = decided(task("what is this?", images=1), world(blind, MIDDLE))
    assert found.candidate == "middle"
    assert found.rejections[0].reasons[0] == Reason.of(ReasonCode.CAPABILITY, capability="vision")


def test_an_unknown_price_is_never_free_and_never_under_a_cap():
    unknown = model("unknown", 1.0, 60, price=None)
    free = decided("fix the bug", world(unknown, MIDDLE))
    assert next(s for s in free.scores if s.candidate == "unknown").turn_usd > 0.01
    capped = decided("fix the bug", world(unknown, MIDDLE), Policy(limits=CandidateLimits(max_input_usd_per_mtok=50)))
    assert capped.rejections[0].reasons[0].code == "price"


def test_a_tight_budget_takes_a_cheaper_plan_and_says_so():
    dear = decided("implement a lock-free queue in C++")
    tight = Policy(budget=Budget(per_request_usd=dear.plan.reserve_usd / 3))
    found = decided("implement a lock-free queue in C++", policy=tight)
    assert found.plan.reserve_usd <= tight.budget.per_request_usd
    assert found.plan.primary != dear.plan.primary
    assert ReasonCode.PLAN_OVER_BUDGET in [note.code for note in found.notes]


def test_only_when_the_cheapest_does_not_fit_is_the_request_refused():
    found = decided("fix it", policy=Policy(budget=Budget(per_day_usd=0.0)))
    assert found.refusal.code == "budget_exceeded"
    assert found.refusal.reason.params["cheapest"] == "cheap"


def test_what_was_spent_counts_against_the_session_and_the_day():
    policy = Policy(budget=Budget(per_day_usd=1.0))
    assert decided("fix it", world(spent_today_usd=0.5), policy).plan is not None
    assert decided("fix it", world(spent_today_usd=1.0), policy).refusal.code == "budget_exceeded"


def test_when_all_cool_down_the_first_to_be_free_is_tried():
    found = decided("hi", world(health={c.id: cooling(10 * n) for n, c in enumerate(POOL, 1)}))
    assert found.candidate == "cheap"
    assert ReasonCode.HALF_OPEN_PROBE in [note.code for note in found.notes]


def test_a_cooldown_that_the_provider_asked_for_is_kept():
    found = decided("hi", world(health={c.id: cooling(12.0, asked=True) for c in POOL}))
    assert found.refusal.code == "no_eligible_model"
    assert found.refusal.retry_after_s == pytest.approx(12.0)


def test_a_role_that_nobody_has_opens_the_whole_pool():
    found = decided(task("hi", label="openfusion/verifier"))
    assert found.candidate is not None
    assert Reason.of(ReasonCode.ROLE_NOT_CONFIGURED, role="verifier") in found.notes


def test_one_model_in_every_role_works():
    lone = model("lone", 1.0, 60, roles=tuple(Role))
    found = decided("review it", world(lone))
    assert found.candidate == "lone"
    assert {p.strategy for p in found.plans} == set(Strategy)


def test_denied_models_are_named_with_the_glob():
    found = decided("fix it", policy=Policy(deny=("v/str*",)))
    assert found.rejections[0].candidate == "strong"
    assert found.rejections[0].reasons[0] == Reason.of(ReasonCode.POLICY, denied_by="v/str*")


def test_fallbacks_are_the_next_best_and_bounded():
    found = decided(task("fix it"), world(*POOL), Policy(max_fallbacks=1))
    assert len(found.fallbacks) == 1
    assert found.candidate not in found.fallbacks


def test_the_three_strategies_stand_side_by_side_and_the_best_one_is_chosen():
    read = extract_features(task("review the design of auth"), Policy())
    found = decide(read, world(CHEAP, MIDDLE, STRONG), Policy())
    assert [p.total for p in found.plans] == sorted((p.total for p in found.plans), reverse=True)
    assert found.plan == found.plans[0]
