"""How good a partition is against the truth: every metric that people name, from counts alone."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Labels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A partition of records against their true people.

    `precision`, `recall`, `f1`: of pairs of records, after closure. `b_cubed_f1`: the same, a
    record at a time (Bagga, Baldwin 1998). `exact_f1`: of clusters that are exactly one person.
    `mixed`: the share of clusters that hold several people. `largest`: records of one cluster.
    """

    precision: float
    recall: float
    f1: float
    b_cubed_f1: float
    exact_f1: float
    mixed: float
    largest: int


def judge(clusters: ArrayLike, people: ArrayLike) -> Judgement:
    """Judge; of each record the cluster that it was put into, and whom it is truly about."""
    cluster = np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)
    person = np.unique(np.asarray(people), return_inverse=True)[1].astype(np.int64)
    of_cluster, of_person = np.bincount(cluster), np.bincount(person)
    cells, sizes = np.unique(person * len(of_cluster) + cluster, return_counts=True)
    cell_person, cell_cluster = np.divmod(cells, len(of_cluster))
    right = _pairs(sizes)
    precision, recall = _share(right, _pairs(of_cluster)), _share(right, _pairs(of_person))
    squares = sizes.astype(np.float64) ** 2
    whole = (sizes == of_cluster[cell_cluster]) & (sizes == of_person[cell_person])
    return Judgement(
        precision=precision,
        recall=recall,
        f1=_f1(precision, recall),
        b_cubed_f1=_f1(
            float((squares / of_cluster[cell_cluster]).sum() / len(cluster)),
            float((squares / of_person[cell_person]).sum() / len(cluster)),
        ),
        exact_f1=_f1(whole.sum() / len(of_cluster), whole.sum() / len(of_person)),
        mixed=float((np.bincount(cell_cluster) > 1).mean()),
        largest=int(of_cluster.max()),
    )


def closure(count: int, left: Labels, right: Labels) -> Labels:
    """The clusters of `count` records that the pairs of their places make."""
    graph = coo_matrix((np.ones(len(left), np.int8), (left, right)), (count, count))
    labels: Labels = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def ceiling(left: Labels, right: Labels, people: Labels) -> float:
    """F1 of the best scorer of these candidate pairs: it joins the true ones and no other."""
    true = people[left] == people[right]
    return judge(closure(len(people), left[true], right[true]), people).f1


def _pairs(sizes: NDArray[np.int64]) -> int:
    return int((sizes.astype(np.int64) * (sizes - 1) // 2).sum())


def _share(right: int, all_pairs: int) -> float:
    return right / all_pairs if all_pairs else 1.0


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0
