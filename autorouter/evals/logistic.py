"""Logistic regression by Newton's method, for a handful of weights: pure Python, exact, no library.

fit([[1.0, x1, x2], ...], [y, ...], weights=[...], ridge=1.0)     the weights; ridge never touches the first column
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

STEPS = 40
CLOSE = 1e-9


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + exp(-min(x, 700.0)))
    small = exp(max(x, -700.0))
    return small / (1.0 + small)


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def fit(
    rows: Sequence[Sequence[float]],
    outcomes: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    ridge: float = 1e-6,
) -> list[float]:
    """The weights that make the outcomes (0..1) likeliest, each row counted `weights` times."""
    size = len(rows[0])
    counts = weights if weights is not None else [1.0] * len(rows)
    beta = [0.0] * size
    for _ in range(STEPS):
        gradient = [0.0] + [ridge * b for b in beta[1:]]
        hessian = [[1e-9 if i == j == 0 else ridge if i == j else 0.0 for j in range(size)] for i in range(size)]
        for row, y, count in zip(rows, outcomes, counts, strict=True):
            p = sigmoid(dot(row, beta))
            error, curvature = count * (p - y), count * p * (1.0 - p)
            for i, x in enumerate(row):
                gradient[i] += error * x
                line, cx = hessian[i], curvature * x
                for j in range(i + 1):
                    line[j] += cx * row[j]
        for i in range(size):
            for j in range(i):
                hessian[j][i] = hessian[i][j]
        step = solve(hessian, gradient)
        beta = [b - s for b, s in zip(beta, step, strict=True)]
        if max(map(abs, step)) < CLOSE:
            break
    return beta


def solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The solution of a small system of linear equations, by elimination with pivoting."""
    size = len(right)
    system = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda n: abs(system[n][column]))
        system[column], system[pivot] = system[pivot], system[column]
        for below in range(column + 1, size):
            factor = system[below][column] / system[column][column]
            for place in range(column, size + 1):
                system[below][place] -= factor * system[column][place]
    solution = [0.0] * size
    for line in range(size - 1, -1, -1):
        known = sum(system[line][place] * solution[place] for place in range(line + 1, size))
        solution[line] = (system[line][size] - known) / system[line][line]
    return solution
