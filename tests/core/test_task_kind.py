"""What is read as what: words in many languages, questions, complaints, objects, risk and difficulty of each."""

import pytest

from autorouter.core.policy import Policy
from autorouter.core.signals.difficulty import MIN_TEXT_POINTS
from autorouter.core.signals.features import extract_features
from autorouter.core.signals.lexicon import FILLERS, PAIR_SIGNALS, WORD_CATEGORY, WORD_SIGNALS
from autorouter.core.signals.task_kind import WORD
from autorouter.core.types import TaskKind
from tests.core.worlds import task

POLICY = Policy()
TOOLS = ("edit", "bash")


def read(ask, **more):
    return extract_features(task(ask, **more), POLICY)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        ("Please could you hide the sidebar on phones?", TaskKind.EDIT),
        ("the export button should be green", TaskKind.EDIT),
        ("add error handling to the upload", TaskKind.EDIT),
        ("implement a parser for comments", TaskKind.EDIT),
        ("uploads above 2 GB stop halfway since we moved to the new proxy", TaskKind.DEBUG),
        ("it still doesn't work", TaskKind.DEBUG),
        ("ModuleNotFoundError: No module named 'yaml'", TaskKind.DEBUG),
        ("is this migration safe to run twice?", TaskKind.REVIEW),
        ("have a look over my branch before I merge it", TaskKind.REVIEW),
        ("Kafka or RabbitMQ for the audit trail?", TaskKind.PLAN),
        ("should we shard by tenant?", TaskKind.PLAN),
        ("write a proposal for the new permissions", TaskKind.PLAN),
        ("fix the typo in the heading", TaskKind.WRITE),
        ("draft an e-mail to the beta users", TaskKind.WRITE),
        ("how do I rename a branch?", TaskKind.EXPLAIN),
        ("what does 404 mean?", TaskKind.EXPLAIN),
        ("thanks, that works", TaskKind.EXPLAIN),
    ],
)
def test_requests_are_read_by_what_leads_them_by_their_form_and_their_object(ask, kind):
    assert read(ask, tools=TOOLS).kind is kind


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        ("Füge der Klasse Order eine Methode total() hinzu", TaskKind.EDIT),
        ("Der Build schlägt seit gestern fehl", TaskKind.DEBUG),
        ("Erkläre mir den Unterschied zwischen Mutex und Semaphor", TaskKind.EXPLAIN),
        ("Ajoute un test pour la fonction parse", TaskKind.EDIT),
        ("Pourquoi utilise-t-on un index ici ?", TaskKind.EXPLAIN),
        ("Añade una prueba para el carrito", TaskKind.EDIT),
        ("Revisa este cambio, por favor", TaskKind.REVIEW),
        ("Corrija o erro na função de login", TaskKind.DEBUG),
        ("Добавь кнопку выхода", TaskKind.EDIT),
        ("Исправь ошибку в парсере", TaskKind.DEBUG),
        ("Почему это медленно?", TaskKind.EXPLAIN),
        ("给登录页添加一个按钮", TaskKind.EDIT),
        ("实现崩溃恢复", TaskKind.EDIT),
        ("翻译这段文字", TaskKind.WRITE),
        ("ログイン画面にボタンを追加してください", TaskKind.EDIT),
        ("このエラーを直してください", TaskKind.DEBUG),
    ],
)
def test_other_languages_are_read_too(ask, kind):
    assert read(ask, tools=TOOLS).kind is kind


def test_no_word_at_all_is_work_for_an_agent_and_talk_elsewhere():
    assert read("the other three too", tools=TOOLS).kind is TaskKind.EDIT
    assert read("hash tables").kind is TaskKind.EXPLAIN


def test_every_language_s_greeting_is_small_talk_and_its_questions_are_none():
    assert read("你好").difficulty == read("hi").difficulty == read("спасибо").difficulty
    for ask in ("为什么天空是蓝色的？", "почему небо голубое?", "なぜ空は青いのですか？"):
        assert read(ask).difficulty > 0


def test_a_word_of_a_table_can_be_found_by_the_pattern_that_splits_the_ask():
    for word in {*WORD_SIGNALS, *PAIR_SIGNALS, *FILLERS, *WORD_CATEGORY}:
        assert WORD.findall(word) == [word]


def test_what_is_simple_is_easier_but_never_looks_like_small_talk():
    plain, simple = read("explain the module"), read("explain the typo in the unused import, short and simple")
    assert 0 <= simple.difficulty < plain.difficulty
    assert sum(part.points for part in simple.parts[1:]) >= MIN_TEXT_POINTS - 1e-9


def test_the_scale_is_used_from_end_to_end():
    easy = read("rename the variable cnt to count", tools=TOOLS)
    middle = read("add pagination to the orders endpoint, and keep the old clients working", tools=TOOLS)
    hard = read("implement a lock-free queue with epoch reclamation, and prove that it is linearizable", tools=TOOLS)
    assert easy.difficulty < 1 / 3 < middle.difficulty < 2 / 3 < hard.difficulty


@pytest.mark.parametrize(
    ("ask", "risky"),
    [
        ("customers in production get somebody else's invoice", True),
        ("Move the mails to the new server, we can't lose data", True),
        ("Lösche alle Kunden aus der Datenbank", True),
        ("borra las cuentas de prueba en producción", True),
        ("удали старых пользователей из базы", True),
        ("删除生产数据库里的用户", True),
        ("本番のデータベースから顧客を削除して", True),
        ("delete the unused import in table.py", False),
        ("remove the comment about users", False),
        ("what does `git reset --hard` do?", False),
        ("update the docs for customers", False),
    ],
)
def test_risk_is_what_can_not_be_taken_back_or_hurts_others(ask, risky):
    assert (read(ask, tools=TOOLS).risk.value >= 0.5) is risky


def test_a_title_is_never_risky():
    title = read("wipe the production database", system="You are a title generator. You output ONLY a thread title.")
    assert title.kind is TaskKind.HOUSEKEEPING
    assert title.risk.value == 0.0
