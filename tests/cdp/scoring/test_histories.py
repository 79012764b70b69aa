"""What the models see: order days from rows, and each customer's history as of a day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.scoring.histories import BLOCK, Histories, group, merge_days, summarise

ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 30), st.floats(1, 100) | st.just(np.nan)),
    max_size=40,
)


def columns(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows], dtype=np.float64),
    )


def told(histories: Histories) -> list[list[float]]:
    columns = [getattr(histories, name).tolist() for name in histories.__slots__]
    return [list(row) for row in zip(*columns, strict=True)]


@given(ROWS, st.integers(0, 30))
def test_histories_are_what_counting_row_by_row_gives(
    rows: list[tuple[int, int, float]], as_of: int
) -> None:
    expected = []
    for customer in sorted({who for who, day, _ in rows if day <= as_of}):
        days = sorted({day for who, day, _ in rows if who == customer and day <= as_of})
        prices: dict[int, float] = {}
        for who, day, spend in rows:
            if who == customer and day <= as_of and not np.isnan(spend):
                prices[day] = prices.get(day, 0.0) + spend
        age, recency, spend = as_of - days[0], days[-1] - days[0], sum(prices.values())
        row = [customer, len(days) - 1, recency, age, spend, len(prices)]
        expected.append(pytest.approx(row))
    assert told(summarise(merge_days(*columns(rows)), as_of)) == expected


@given(ROWS)
def test_order_of_the_rows_does_not_matter(rows: list[tuple[int, int, float]]) -> None:
    one, other = merge_days(*columns(rows)), merge_days(*columns(rows[::-1]))
    assert one.customer.tolist() == other.customer.tolist()
    assert one.day.tolist() == other.day.tolist()
    assert one.spend == pytest.approx(other.spend, nan_ok=True)


def test_a_day_without_a_price_counts_as_an_order_but_not_as_spend() -> None:
    days = merge_days(*columns([(1, 0, 10.0), (1, 4, np.nan), (1, 9, 30.0), (2, 3, np.nan)]))
    assert told(summarise(days, 10)) == [[1, 2, 9, 10, 40.0, 2], [2, 0, 0, 7, 0.0, 0]]
    assert summarise(days, 10).mean_spend == pytest.approx([20.0, np.nan], nan_ok=True)


@given(ROWS)
def test_patterns_map_back_to_every_customer(rows: list[tuple[int, int, float]]) -> None:
    histories = summarise(merge_days(*columns(rows)), 30)
    patterns = group(histories)
    for name in ("repeats", "recency", "age", "priced"):
        column = getattr(patterns, name)[patterns.of_customer]
        assert column.tolist() == getattr(histories, name).tolist()
    assert patterns.count.sum() == len(histories) == patterns.customer_count
    assert len(set(zip(patterns.repeats, patterns.recency, patterns.age, patterns.priced,
                       strict=True))) == len(patterns)  # fmt: skip


def test_blocks_are_all_patterns_in_order() -> None:
    count = 2 * BLOCK + 5
    zeros, ages = np.zeros(count, dtype=np.int64), np.arange(count)
    patterns = group(Histories(ages, zeros, zeros, ages, np.ones(count), zeros + 1))
    blocks = list(patterns.blocks())
    assert [len(block) for block in blocks] == [BLOCK, BLOCK, 5]
    assert np.concatenate([block.age for block in blocks]).tolist() == ages.tolist()
