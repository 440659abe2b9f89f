"""The words that features are read from. Looked up in tables, one pass over the human's words; no word chooses a model.

`SIGNS` and `PAIRS` say what is wanted, `DEEP`, `TECHNICAL`, `RARE`, `SCOPE` and `TRIVIAL` how hard it is, the `RISK_*` how
carefully to work. English first, with common words of German, French, Spanish, Portuguese, Italian, Russian, Chinese and
Japanese. All are judgement: words that any developer would expect, none learned from data.
"""

from __future__ import annotations

from typing import NamedTuple

from autorouter.core.types import TaskKind


class KindSignal(NamedTuple):
    """A word speaks for a kind, so strongly."""

    kind: TaskKind
    weight: float


COMMAND, TOPIC, HINT = 1.0, 0.6, 0.3
"""What is to be done; what it is about; a word that is often something else, as question words are ("why does this fail")."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COMMANDS = {
    TaskKind.EDIT: "add implement write create refactor rename change update replace remove delete port migrate convert "
    "optimize optimise extend introduce generate extract integrate upgrade bump configure simplify vectorize parallelize "
    "rewrite append insert swap truncate reset revert undo wrap split hide enable disable scaffold deprecate expose "
    "restructure deduplicate memoize paginate parameterize apply deploy rotate drop cleanup "
    "implementiere implementieren füge hinzufügen einbauen schreibe schreib erstelle erstellen ändere ändern entferne "
    "entfernen lösche löschen ersetze ersetzen benenne umbenennen aktualisiere aktualisieren verschiebe baue "
    "ajoute ajouter implémente implémenter crée créer écris écrire supprime supprimer remplace remplacer renomme modifie "
    "crea crear añade añadir agrega agregar implementa implementar escribe escribir schreiben elimina eliminar cambia "
    "cambiar renombra reemplaza actualiza refactoriza adicione adicionar implemente crie criar escreva escrever remova "
    "remover substitua atualize renomeie refatore aggiungi scrivi rinomina sostituisci "
    "добавь добавить реализуй реализовать напиши написать создай создать сделай удали удалить замени переименуй измени "
    "обнови перепиши перенеси",
    TaskKind.DEBUG: "fix fixes fixing debug debugging diagnose troubleshoot bisect reproduce repair investigate "
    "behebe beheben repariere reparieren korrigiere corrige corriger corregir arregla arreglar répare réparer corrija "
    "conserte correggi исправь исправить почини отладь",
    TaskKind.REVIEW: "review reviews reviewing critique inspect lgtm "
    "überprüfe überprüfen prüfe prüfen begutachte revisa revisar revise vérifie vérifier relis verifica проверь проверить "
    "отревьюй",
    TaskKind.PLAN: "plan design compare decide propose outline evaluate recommend prove disprove brainstorm weigh suggest "
    "plane entwirf entwerfen vergleiche vergleichen konzipiere propose proposer conçois concevoir compara comparar "
    "diseña diseñar projete планируй спроектируй сравни предложи",
    TaskKind.WRITE: "translate summarize summarise reword proofread draft rephrase paraphrase polish "
    "übersetze übersetzen formuliere fasse dokumentiere traduis traduire résume rédige rédiger traduce traducir resume "
    "redacta traduza traduzir redija documenta переведи перевести",
    TaskKind.EXPLAIN: "explain explains "
    "erkläre erklär erklären explica explicar explique expliquer spiega объясни объяснить расскажи",
}
_THINGS = {
    TaskKind.EDIT: "should want need brauche brauchen soll debería necesito нужно должен",
    TaskKind.DEBUG: "bug bugs broken breaks broke error errors err fail fails failing failed failure failures crash crashes "
    "crashed crashing segfault segfaults traceback exception exceptions stacktrace hang hangs hung leak leaks regression "
    "wrong flaky panic panics undefined off-by-one incorrect incorrectly deadlock deadlocks corrupt corrupts corrupted "
    "doesn't don't didn't isn't aren't won't wasn't miscompiles misbehaves freezes stuck doesnt "
    "fehler kaputt absturz stürzt abgestürzt funktioniert schlägt fehlgeschlagen hängt erreur erreurs plante planté "
    "cassé cassée cassés cassées marche error errores falla fallan fallo roto rota erro erros falha falham quebrado "
    "quebrou errore ошибка ошибку ошибки ошибкой баг падает падают упал упали ломается сломалось сломался зависает",
    TaskKind.REVIEW: "vulnerability vulnerabilities feedback thoughts diff pr reviewer отзыв ревью",
    TaskKind.PLAN: "plans designs architecture architect tradeoff tradeoffs trade-off trade-offs approach approaches proof "
    "strategy proposal rfc roadmap alternatives pros cons steps versus vs "
    "architektur entwurf vorschlag konzept strategie nachteile nachteilen vorteile sollten sollen arquitectura "
    "arquitetura estrategia estratégia deberíamos devemos conception devrions архитектура архитектуру план стратегия "
    "стоит",
    TaskKind.WRITE: "docs documentation readme changelog blog email e-mail translation summary docstring docstrings tutorial "
    "announcement prose grammar wording paragraph typo typos spelling newsletter "
    "dokumentation doku zusammenfassung ankündigung anleitung commit-nachricht annonce résumé documentación documentação "
    "resumen resumo anuncio документация документацию письмо",
    TaskKind.EXPLAIN: "difference meaning overview unterschied bedeutet différence diferencia diferença différences разница",
}
_HINTS = {
    TaskKind.EDIT: "put use set show make handle format move clean build support install wire patch run switch turn merge "
    "import return validate ensure mache mach nutze verwende fais haz faça inline include allow push commit",
    TaskKind.DEBUG: "slow slower still stopped again anymore unexpected unexpectedly missing lost loses lose empty blank "
    "garbage duplicate duplicated twice race timeout timeouts oom nan down can't cannot won't never nothing instead "
    "yesterday suddenly only randomly intermittently sometimes occasionally 404 500 502 503 504 403 401 "
    "langsam nicht manchmal seit plötzlich pas depuis seulement parfois lento desde veces не после зависло медленно "
    "иногда",
    TaskKind.REVIEW: "check assess approve look audit audits",
    TaskKind.PLAN: "order safest option options choose better best folder layout",
    TaskKind.WRITE: "comment comments document specification guide shorten message",
    TaskKind.EXPLAIN: "why how what where which who when describe understand mean means tell what's how's "
    "warum wieso weshalb wofür wie welche welcher welches wo was pourquoi quoi quel quelle quand qué cómo cuál dónde como "
    "qual onde perché почему зачем как что где когда чем",
}


def _signs() -> dict[str, KindSignal]:
    """One sign a word; a weaker one doesn't hide a stronger one."""
    found: dict[str, KindSignal] = {}
    for weight, table in ((HINT, _HINTS), (TOPIC, _THINGS), (COMMAND, _COMMANDS)):
        for kind, text in table.items():
            for word in text.split():
                found[word] = found[word.replace("'", "\u2019")] = KindSignal(kind, weight)
    return found


WORD_SIGNALS = _signs()

PAIR_SIGNALS: dict[str, dict[str, KindSignal]] = {
    "over": {"look": KindSignal(TaskKind.REVIEW, COMMAND)},
    "ok": {"look": KindSignal(TaskKind.REVIEW, COMMAND), "looks": KindSignal(TaskKind.REVIEW, HINT)},
    "right": {"look": KindSignal(TaskKind.REVIEW, COMMAND)},
    "good": {"look": KindSignal(TaskKind.REVIEW, COMMAND)},
    "wrong": {"go": KindSignal(TaskKind.REVIEW, COMMAND)},
    "request": {"pull": KindSignal(TaskKind.REVIEW, TOPIC), "merge": KindSignal(TaskKind.REVIEW, TOPIC)},
    "should": dict.fromkeys(("we", "i", "which", "what", "how"), KindSignal(TaskKind.PLAN, TOPIC)),
    "we": {"should": KindSignal(TaskKind.PLAN, COMMAND)},
    "i": {"should": KindSignal(TaskKind.PLAN, COMMAND)},
    "up": {"come": KindSignal(TaskKind.PLAN, HINT)},
    "options": {"our": KindSignal(TaskKind.PLAN, TOPIC), "the": KindSignal(TaskKind.PLAN, TOPIC)},
    "it": {"find": KindSignal(TaskKind.DEBUG, TOPIC)},
    "out": {"find": KindSignal(TaskKind.DEBUG, TOPIC), "figure": KindSignal(TaskKind.DEBUG, HINT)},
    "off": {
        "cut": KindSignal(TaskKind.DEBUG, TOPIC),
        "day": KindSignal(TaskKind.DEBUG, TOPIC),
        "hour": KindSignal(TaskKind.DEBUG, TOPIC),
    },
    "given": {"are": KindSignal(TaskKind.EDIT, TOPIC)},
    "longer": {"no": KindSignal(TaskKind.DEBUG, TOPIC)},
    "cause": {"root": KindSignal(TaskKind.DEBUG, COMMAND)},
    "nicht": {"geht": KindSignal(TaskKind.DEBUG, TOPIC), "funktioniert": KindSignal(TaskKind.DEBUG, TOPIC)},
    "pas": {"marche": KindSignal(TaskKind.DEBUG, TOPIC), "fonctionne": KindSignal(TaskKind.DEBUG, TOPIC)},
    "funciona": {"no": KindSignal(TaskKind.DEBUG, TOPIC), "não": KindSignal(TaskKind.DEBUG, TOPIC)},
    "работает": {"не": KindSignal(TaskKind.DEBUG, TOPIC)},
    "que": {"por": KindSignal(TaskKind.EXPLAIN, HINT)},
    "notes": {"release": KindSignal(TaskKind.WRITE, TOPIC)},
    "message": {"commit": KindSignal(TaskKind.WRITE, TOPIC)},
    "post": {"blog": KindSignal(TaskKind.WRITE, TOPIC)},
}
"""Two words that say together what neither says alone: by the second, then the first."""
SIGNAL_WORDS = WORD_SIGNALS.keys() | PAIR_SIGNALS.keys()

CJK_SIGNALS: tuple[tuple[str, KindSignal], ...] = tuple(
    (mark, KindSignal(kind, weight))
    for kind, weight, text in (
        (TaskKind.DEBUG, COMMAND, "修复 调试 修正 デバッグ 直して 排查"),
        (TaskKind.DEBUG, TOPIC, "报错 错误 崩溃 失败 异常 不工作 偶尔 エラー バグ 動かない 落ちる 失敗"),
        (TaskKind.REVIEW, COMMAND, "审查 审计 评审 检查 レビュー"),
        (TaskKind.PLAN, COMMAND, "设计 設計 规划 比较 提案 比較"),
        (TaskKind.PLAN, TOPIC, "方案 架构 取舍 应该 アーキテクチャ すべき"),
        (TaskKind.WRITE, COMMAND, "翻译 总结 翻訳 要約"),
        (TaskKind.WRITE, TOPIC, "文档 邮件 公告 说明书 ドキュメント を書い"),
        (TaskKind.EDIT, COMMAND, "实现 添加 重构 编写 写一 修改 删除 改成 重命名 替换 生成"),
        (TaskKind.EDIT, COMMAND, "実装 追加 変更 削除 リファクタ 置き換え 書いて 作って"),
        (TaskKind.EXPLAIN, COMMAND, "解释 説明 教えて"),
        (TaskKind.EXPLAIN, HINT, "为什么 什么 如何 怎么 なぜ とは 違い どう 区别"),
    )
    for mark in text.split()
)
"""The same for scripts without spaces: looked for in the text, and only where it isn't plain ASCII."""

FILLERS = _words(
    "please can could would you i we i'd want need like to let's lets now ok okay hey hi hello so then also and just help "
    "me us next first for bitte kannst könntest du mir mal por favor puedes podrías me você pode s'il te vous plaît peux-tu "
    "pouvez-vous пожалуйста можешь"
)
"""What people say before they say what they want."""
YES_NO = _words("is are was were does do did has have will ist sind est-ce é es")
QUESTIONS = YES_NO | _words(
    "why how what where which who when what's how's warum wieso weshalb wofür wie welche welcher welches wo pourquoi quoi "
    "quel quelle qué cómo cuál dónde como qual onde perché почему зачем как что где когда чем"
)
REVIEW_ADJECTIVES = _words(
    "fine ok okay sound safe correct idiomatic secure reasonable thread-safe good right acceptable"
)
"""Asked with a yes or no about something that is there: a review."""
MAKE_VERBS = _words(
    "write create make draft prepare produce add update improve fix fixes rewrite expand generate schreibe schreib erstelle "
    "aktualisiere écris crée escribe escribir crea escreva crie scrivi напиши создай обнови"
)
"""Verbs that say little without their object: "write the README" is prose, "write the parser" is code."""

SMALL_TALK = _words(
    "hi hello hey thanks thank you ok okay yes no bye good morning evening ping test please great cool nice perfect thx "
    "that this it works worked now was exactly got "
    "danke hallo merci bonjour gracias hola obrigado olá grazie ciao спасибо привет 你好 谢谢 こんにちは ありがとう"
)

DEEP = _words(
    "lock-free lockfree wait-free lockless livelock deadlock deadlocks linearizable linearizability serializable mvcc crdt "
    "crdts consensus raft paxos epaxos quorum gossip byzantine two-phase exactly-once happens-before memory-model orderings "
    "ordering barrier barriers atomics aba mpsc mpmc spsc simd avx neon cuda gpu allocator allocators compiler compilers jit "
    "gvn ssa miscompiles deoptimization inlining register-allocation type-system polymorphism unification inference "
    "unsoundness soundness borrow-checker lifetimes variance gadt higher-kinded formal formally theorem proof prove disprove "
    "converges convergence invariant invariants np-hard asymptotic cryptography cryptographic constant-time side-channel "
    "nonce hmac zero-knowledge elliptic lattice eigenvalue numerical fused precision stability backpropagation kernel kernels "
    "scheduler hypervisor io_uring numa cache-coherent sharding replication failover snapshot isolation compaction "
    "write-ahead recovery latches solver conflict-driven sat smt incremental error-tolerant operational collaborative "
    "concurrent heisenbug rendezvous speculative vectorised vectorized backpressure tombstones split-brain clock-skew "
    "multi-tenancy multi-region параллелизма"
)
"""Fields in which short requests are hard."""
DEEP_CJK = ("分布式", "无锁", "隔离", "一致性", "共识", "并发", "编译器", "分散", "ロックフリー", "並行", "整合性")
TECHNICAL = _words(
    "concurrency race races thread threads multi-threaded atomic memory mutex semaphore garbage parser grammar ast bytecode "
    "assembly linker abi ffi unsafe distributed transactional transaction transactions idempotent idempotency crypto tls "
    "encryption signature optimization floating-point fft matrix stochastic bayesian gradient tensor protocol codec "
    "compression zero-copy mmap epoll async asyncio generics monad macro macros metaprogramming reflection segfault cluster "
    "partition partitions leader migration streaming websocket oauth pool pooling queue latency throughput cache caching "
    "security vulnerability vulnerabilities "
    "event-driven microservices rollback schema index indexes locking locks semantics algorithm c++ rust haskell"
)
"""Fields that ask for competence."""
INTERMITTENT = _words(
    "intermittent intermittently occasionally sporadic sporadically sometimes randomly nondeterministic nondeterministically "
    "flaky weeks manchmal sporadisch parfois иногда periodically spuriously"
)
"""What shows only now and then can't be tried out quickly."""
SCOPE = _words(
    "all every entire whole across keep keeping existing remain stay stays "
    "everywhere codebase monorepo repo end-to-end without must guarantee guarantees preserve "
    "preserving survive survives backwards-compatible backward-compatible compatible zero-downtime downtime while unless "
    "simultaneously under only except regression constraints requirements derived "
    "ganze gesamte ohne alle toute entier sans toda todo sin sem весь всех без"
)
"""How far it reaches, and what has to hold meanwhile."""
TRIVIAL = _words(
    "rename renames typo typos spelling grammar bump comma semicolon whitespace indentation indent unused import imports "
    "variable const label color colour blue red green font button tooltip padding margin flag constant comment comments "
    "docstring hints snippet simple simply small tiny short quick quickly just trivial easy one-line one-liner larger "
    "bigger smaller syntax hello version branch title "
    "variablennamen umbenennen tippfehler kurz einfach kurze sintaxis simples simple courte corta простой опечатку"
)
"""What any model does."""

WORD_CATEGORY: dict[str, str] = {
    word: sort
    for sort, words in (
        ("trivial", TRIVIAL),
        ("scope", SCOPE),
        ("rare", INTERMITTENT),
        ("technical", TECHNICAL),
        ("deep", DEEP),
    )
    for word in words
}
"""The same by word, for one look-up each."""

RISK_VERBS = _words(
    "delete deletes deleting drop drops truncate wipe wipes purge purges destroy destroys erase overwrite overwrites "
    "force-push revoke rotate deploy deploys rollback migrate migration migrations shutdown terminate uninstall reset rm "
    "shred release publish disable grant expire anonymize refund failover lösche löschen migriere supprime supprimer efface "
    "borra borrar elimina eliminar apaga apagar exclua excluir elimini удали удалить снеси очисти"
)
RISK_TARGETS = _words(
    "database databases db schema table tables auth authentication authorization login password passwords token tokens key "
    "keys certificate certificates permission permissions main master backup backups cluster bucket k8s kubernetes iam "
    "firewall dns users user accounts standby replica invoice invoices datenbank tabelle nutzer passwort schlüssel konten "
    "base tabla usuarios contraseña cuentas utilisateurs comptes banco tabela senha contas базу базы база пользователей "
    "таблицу"
)
RISK_GRAVE_TARGETS = _words(
    "prod production live customer customers payment payments billing charged refund refunds payroll credential credentials "
    "secret secrets pii patient patients produktion produktiv kunden zahlungen zugangsdaten producción clientes pagos "
    "clients paiement paiements produção pagamentos продакшен продакшене проде прод клиентов платежи"
)
"""What hurts others: two sensitive things of which one is such are risky without a destructive word."""
RISK_LOSS = _words("lose loses losing lost loss")
RISK_PHRASES = (
    "rm -rf",
    "force push",
    "push --force",
    "reset --hard",
    "drop table",
    "chmod 777",
)
RISK_WORDS = RISK_VERBS | RISK_TARGETS | RISK_GRAVE_TARGETS | RISK_LOSS
HARMLESS_OBJECTS = _words(
    "import imports variable function method line lines comma semicolon whitespace comment comments unused parameter argument "
    "class button label css counter component demo test tests mock mocks fixture fixtures example todo log print typo"
)
"""Pieces of code: to delete one is an edit."""
RISK_CJK_VERBS = ("删除", "迁移", "清空", "删掉", "削除", "移行")
RISK_CJK_TARGETS = ("数据库", "认证", "密钥", "用户", "データベース", "認証", "ユーザー")
RISK_CJK_GRAVE_TARGETS = ("生产", "支付", "客户", "線上", "线上", "本番", "顧客", "決済", "数据丢失")
