"""The report of a scoring, for people at a terminal."""

from collections.abc import Iterator

from cdp.forecasting import Scored
from cdp.scoring.appraise import Report
from cdp.scoring.backtest import Trial
from cdp.scoring.report import FittedModel
from cdp.workspace import Workspace


def report_text(scored: Scored, workspace: Workspace) -> str:
    """What was found, how it did, and the verdict."""
    return "\n".join(_lines(scored, workspace))


def _lines(scored: Scored, workspace: Workspace) -> Iterator[str]:
    yield f"Version {scored.version}, as of {scored.as_of:%Y-%m-%d}: {scored.scored:,} scores."
    cuts = scored.cut_points
    if cuts is not None:
        money = " ".join(f"{cut:.{workspace.money_digits}f}" for cut in cuts.monetary)
        yield (
            f"RFM cut points: recency {_joined(cuts.recency_days)} days,"
            f" frequency {_joined(cuts.frequency)} orders, monetary {money} {workspace.currency}."
        )
    if scored.report is None:
        yield "No forecast:"
        yield from (f"  {one.code}: {one.message}" for one in scored.shortfalls)
        return
    yield from _forecast(scored.report, workspace)


def _forecast(report: Report, workspace: Workspace) -> Iterator[str]:
    terms = report.terms
    yield (
        f"{report.customer_count:,} customers with an order, {report.repeater_count:,} came back,"
        f" {report.history_days:,} days of history."
    )
    yield ""
    yield "Backtests: order days per customer, ranking, and share of the tenth forecast highest"
    yield (
        f"  {'model':<12}{'origin':<12}{'days':>5}{'error':>8}{'bias':>7}{'rank':>7}{'gini':>7}"
        f"{'top':>6}"
    )
    yield from (_trial(trial) for trial in report.trials)
    if report.bounds is not None:
        yield (
            f"Bounds at 80 % covered {report.bounds.measured.within:.1%} of customers' spend"
            f" ({report.bounds.nominal.within:.1%} as the model gives them)."
        )
    yield ""
    for fit in (report.orders, report.spend):
        yield f"{fit.name}: {', '.join(_parameters(fit))}; log-likelihood {fit.log_likelihood:,.2f}"
    total = report.total_orders
    yield (
        f"Next {terms.horizon_days} days: {total.expected:,.0f} order days"
        f" ({total.low:,.0f} to {total.high:,.0f}),"
        f" {report.total_spend:,.{workspace.money_digits}f} {workspace.currency} of value."
    )
    yield ""
    yield f"{report.verdict}: {report.model}"
    yield from (f"  {reason.code}: {reason.message}" for reason in report.reasons)


def _trial(trial: Trial) -> str:
    orders = trial.orders
    return (
        f"  {trial.name:<12}{trial.origin:%Y-%m-%d}  {trial.horizon_days:>5}"
        f"{orders.mean_absolute_error:>8.3f}{_share(orders.bias):>7}"
        f"{_number(orders.spearman):>7}{_number(orders.gini):>7}{_share(orders.top_decile):>6}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _parameters(fit: FittedModel) -> Iterator[str]:
    for one in fit.parameters:
        error = "not identified" if one.standard_error is None else f"se {one.standard_error:.3g}"
        yield f"{one.name} {one.value:.4g} ({error})"


def _joined(values: tuple[int, ...]) -> str:
    return " ".join(str(value) for value in values)
