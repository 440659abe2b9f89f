"""The words that features are read from. Looked up in sets, one pass over the human's words; no word chooses a model.

`KIND_WORDS` say what is wanted, `RISK_VERBS` and `RISK_TARGETS` how carefully to work, `DEPTH_WORDS` are fields in which
short requests are hard ("a lock-free queue"). English, with the most common words of a few other languages.
"""

from __future__ import annotations

from autorouter.core.values import Kind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KIND_WORDS: dict[Kind, frozenset[str]] = {
    Kind.DEBUG: _words(
        "bug bugs debug debugging fix fixes fixing broken breaks error errors fail fails failing failed failure crash "
        "crashes crashed crashing segfault segfaults traceback exception exceptions stacktrace hang hangs leak leaks "
        "regression wrong flaky panic panics undefined off-by-one incorrect diagnose bisect reproduce why-fails fehler "
        "corrige corregir arregla répare corriger"
    ),
    Kind.REVIEW: _words("review reviews reviewing audit audits critique inspect vulnerability vulnerabilities lgtm"),
    Kind.PLAN: _words(
        "plan plans design designs architecture architect tradeoff tradeoffs trade-off trade-offs compare decide "
        "approach approaches prove proof strategy propose proposal rfc roadmap evaluate should"
    ),
    Kind.WRITE: _words(
        "docs documentation readme changelog blog email translate translation summarize summarise summary reword "
        "proofread docstring docstrings comment comments tutorial announcement prose"
    ),
    Kind.EDIT: _words(
        "add adds implement implements write create creates make build refactor rename change update replace remove "
        "delete drop move port migrate convert optimize optimise extend support introduce generate extract inline wire "
        "handle integrate upgrade bump configure install format clean cleanup simplify vectorize parallelize patch "
        "rewrite set use put append insert show rotate implementiere schreibe crear añade ajoute implémente"
    ),
    Kind.EXPLAIN: _words(
        "explain explains why how what where which who when describe understand meaning does mean tell erkläre warum "
        "explica explique pourquoi"
    ),
}

KINDS_OF_WORD: dict[str, tuple[Kind, ...]] = {
    word: tuple(kind for kind, words in KIND_WORDS.items() if word in words)
    for word in frozenset[str]().union(*KIND_WORDS.values())
}
"""The same, by word: one look-up each."""

KIND_CJK: dict[Kind, tuple[str, ...]] = {
    Kind.DEBUG: ("修复", "报错", "错误", "调试", "崩溃", "失败", "修正", "デバッグ", "エラー"),
    Kind.REVIEW: ("审查", "审计", "レビュー"),
    Kind.PLAN: ("设计", "方案", "架构", "取舍", "設計"),
    Kind.WRITE: ("文档", "翻译", "总结", "邮件"),
    Kind.EDIT: ("实现", "添加", "重构", "编写", "写一", "修改", "删除", "実装", "追加"),
    Kind.EXPLAIN: ("解释", "为什么", "什么", "如何", "説明"),
}

RISK_VERBS = _words(
    "delete deletes drop drops truncate wipe wipes purge purges destroy destroys erase overwrite overwrites force-push "
    "revoke rotate deploy deploys rollback migrate migration migrations shutdown terminate uninstall reset rm shred "
    "release publish disable grant expire 删除 迁移 清空"
)
RISK_TARGETS = _words(
    "prod production live customer customers database databases db schema table tables payment payments billing "
    "invoice invoices auth authentication authorization login password passwords credential credentials secret secrets "
    "token tokens key keys certificate certificates permission permissions main master backup backups cluster bucket "
    "k8s kubernetes iam firewall dns pii users user 生产 支付 认证"
)
RISK_PHRASES = (
    "rm -rf",
    "force push",
    "push --force",
    "reset --hard",
    "data loss",
    "drop table",
    "chmod 777",
    "数据丢失",
)

DEPTH_WORDS = _words(
    "lock-free lockfree wait-free concurrency concurrent race races deadlock deadlocks livelock atomic atomics memory "
    "ordering barrier mutex semaphore mpsc mpmc spsc simd vectorized cuda gpu kernel kernels allocator garbage compiler "
    "parser grammar ast bytecode jit assembly linker abi ffi unsafe lifetime lifetimes borrow distributed consensus raft "
    "paxos replication sharding transactional isolation linearizable idempotent backpressure scheduler cache-coherent "
    "cryptography cryptographic crypto tls elliptic signature proof prove theorem invariant invariants asymptotic "
    "complexity np-hard dynamic-programming dp combinatorial optimization numerical floating-point precision fft matrix "
    "eigenvalue stochastic bayesian gradient backpropagation tensor protocol codec compression zero-copy mmap epoll "
    "io_uring async generics variance monad typeclass macro macros metaprogramming reflection segfault heisenbug c++ "
    "rust haskell"
)

SMALL_TALK = _words(
    "hi hello hey thanks thank you ok okay yes no bye good morning evening ping test please great cool nice 你好 谢谢"
)
