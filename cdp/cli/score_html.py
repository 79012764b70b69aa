"""The report of a scoring as one HTML file, plots included; it asks for nothing from elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from statistics import fmean
from typing import Final

from cdp.cli.plots import Curve, Series, bars, curves
from cdp.forecasting import Scored
from cdp.scoring.appraise import Report
from cdp.scoring.backtest import Naive, Trial
from cdp.scoring.metrics import Bin
from cdp.scoring.report import Bounds, Calibration
from cdp.workspace import Workspace

_STYLE: Final = """
body { font: 15px/1.5 sans-serif; max-width: 920px; margin: 2em auto; padding: 0 1em; color: #222 }
figure { display: inline-block; width: 420px; margin: 0 1.5em 1.5em 0; vertical-align: top }
figcaption { font-size: 13px; color: #555 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
.TRUSTED { color: #2c6e3c } .CAUTION { color: #a35f00 } .DO_NOT_USE { color: #a11d1d }
"""


def report_html(scored: Scored, workspace: Workspace) -> str:
    """The whole page."""
    body = "\n".join(_body(scored, workspace))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Model report {scored.version}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _body(scored: Scored, workspace: Workspace) -> Iterator[str]:
    yield f"<h1>Model report, version {scored.version}</h1>"
    yield f"<p>As of {scored.as_of:%Y-%m-%d %H:%M %Z}; {scored.scored:,} scores stored.</p>"
    if scored.report is None:
        yield "<h2>No forecast</h2>" + _list(one.message for one in scored.shortfalls)
    else:
        yield from _report(scored.report, workspace)
    cuts = scored.cut_points
    if cuts is not None:
        rows = [
            ["recency, days", *map(str, cuts.recency_days)],
            ["frequency, orders", *map(str, cuts.frequency)],
            [
                f"monetary, {workspace.currency}",
                *(f"{cut:.{workspace.money_digits}f}" for cut in cuts.monetary),
            ],
        ]
        yield "<h2>RFM cut points</h2>" + _table(["", "1 | 2", "2 | 3", "3 | 4", "4 | 5"], rows)


def _report(report: Report, workspace: Workspace) -> Iterator[str]:
    yield f'<h2 class="{report.verdict}">{report.verdict}: {report.model}</h2>'
    yield _list(reason.message for reason in report.reasons) or "<p>Nothing speaks against it.</p>"
    total = report.total_orders
    yield (
        f"<p>{report.customer_count:,} customers with an order, {report.repeater_count:,} of whom"
        f" came back, in {report.history_days:,} days. Expected of the next"
        f" {report.terms.horizon_days} days: {total.expected:,.0f} order days"
        f" ({total.low:,.0f} to {total.high:,.0f}),"
        f" {report.total_spend:,.{workspace.money_digits}f} {workspace.currency} of value.</p>"
    )
    if report.calibration is not None:
        yield "<h2>Forecasts of the past, and what came</h2>"
        yield from _calibration(report.calibration)
    if report.trials:
        yield "<h2>Against rules without a model</h2>"
        yield from _comparison(report.trials)
    if report.bounds is not None:
        yield "<h2>Bounds</h2>" + _coverage(report.bounds)
    if report.periods:
        yield "<h2>The calendar</h2>" + _periods(report)
    yield "<h2>Parameters</h2>" + _parameters(report)


def _calibration(calibration: Calibration) -> Iterator[str]:
    yield _beside(calibration.decile, "Order days per customer, by decile of the forecast.")
    yield _beside(calibration.repeats, "The same, by repeat order days at the time.")
    yield _beside(calibration.spend_decile, "Spend per customer, by decile of the forecast.")
    points = [(one.forecast, one.actual) for one in calibration.ordering]
    plot = curves(
        [Curve("who ordered", points), Curve("if exact", [(0, 0), (1, 1)], is_dashed=True)],
        ("probability 0", "1"),
    )
    yield _figure(
        plot,
        "Reliability: the share who ordered, by the forecast probability of an order. Who is alive"
        " nobody sees; who is and orders shows here.",
    )


def _beside(bins: Sequence[Bin], caption: str) -> str:
    forecast = Series("forecast", [one.forecast for one in bins])
    actual = Series("came", [one.actual for one in bins])
    return _figure(bars([one.label for one in bins], [forecast, actual]), caption)


def _comparison(trials: Sequence[Trial]) -> Iterator[str]:
    names = list(dict.fromkeys(trial.name for trial in trials))
    of = {name: [trial.orders for trial in trials if trial.name == name] for name in names}
    short = [name.replace("_NBD", "").replace("_", " ").lower() for name in names]
    error = Series("error", [fmean(one.mean_absolute_error for one in of[name]) for name in names])
    gini = Series("Gini", [fmean(one.gini or 0.0 for one in of[name]) for name in names])
    capture = Series(
        "top tenth", [fmean(one.top_decile or 0.0 for one in of[name]) for name in names]
    )
    best = fmean(one.best_top_decile or 0.0 for one in of[names[0]])
    yield _figure(
        bars(short, [error]), "Mean absolute error of order days per customer, over the origins."
    )
    yield _figure(
        bars(short, [gini, capture]),
        "Ranking: normalised Gini, and the share of all orders that is of the tenth forecast"
        f" highest (a perfect ranking gets {best:.0%}). {Naive.OWN_RATE} and {Naive.LAST_WINDOW}"
        " are rules without a model.",
    )
    heads = [
        "model",
        "origin",
        "days",
        "MAE",
        "RMSE",
        "bias",
        "Spearman",
        "Gini",
        "top",
        "spend bias",
    ]
    yield _table(heads, [_trial(trial) for trial in trials])


def _trial(trial: Trial) -> list[str]:
    orders = trial.orders
    return [
        trial.name,
        f"{trial.origin:%Y-%m-%d}",
        str(trial.horizon_days),
        f"{orders.mean_absolute_error:.3f}",
        f"{orders.root_mean_square_error:.3f}",
        _or_dash(orders.bias, "+.1%"),
        _or_dash(orders.spearman, ".3f"),
        _or_dash(orders.gini, ".3f"),
        _or_dash(orders.top_decile, ".1%"),
        _or_dash(trial.spend.bias, "+.1%"),
    ]


def _coverage(bounds: Bounds) -> str:
    parts = ("within", "above", "below")
    nominal = Series("as the model gives them", [getattr(bounds.nominal, one) for one in parts])
    measured = Series("as they are used", [getattr(bounds.measured, one) for one in parts])
    caption = (
        f"Share of customers whose spend ended within bounds that promise {bounds.promised:.0%},"
        " above and below; each origin measured with levels from the others."
    )
    return _figure(bars(parts, [nominal, measured]), caption)


def _periods(report: Report) -> str:
    periods = report.periods
    expected = Curve("model", [(float(at), one.expected) for at, one in enumerate(periods)])
    actual = Curve("came", [(float(at), float(one.actual)) for at, one in enumerate(periods)])
    ends = str(periods[0].starts_on), str(periods[-1].starts_on)
    return _figure(curves([expected, actual], ends), "Repeat order days in each four weeks.")


def _parameters(report: Report) -> str:
    rows = [
        [
            fit.name,
            one.name,
            f"{one.value:.5g}",
            _or_dash(one.standard_error, ".3g"),
            "not identified" if one.low is None else f"{one.low:.4g} to {one.high:.4g}",
        ]
        for fit in (report.orders, report.spend)
        for one in fit.parameters
    ]
    return _table(["model", "parameter", "value", "standard error", "80 %"], rows)


def _or_dash(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _figure(plot: str, caption: str) -> str:
    return f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _list(items: Iterable[str]) -> str:
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
