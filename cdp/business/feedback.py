"""What customers say when asked: the net promoter score and satisfaction, with their intervals."""

from typing import Any, Final

from sqlalchemy import Float, FromClause, Integer, Select, Text, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on

from cdp.activity import on_own_scale
from cdp.business.moment import Moment
from cdp.business.shares import net_promoters, share, wilson
from cdp.tables import feedback, source_profile
from cdp.traits.feedback import PASSIVE_FROM, PROMOTER_FROM

FEEDBACK_WINDOW_DAYS: Final = 365  # older answers speak of another shop
SATISFIED_FROM: Final = 4  # of 5: the two best answers


def nps_query(moment: Moment) -> Select[Any]:
    """One row: the latest answer of each respondent in the window; the score null without any.

    The score is the percentage of promoters (9 and 10) less that of detractors (0 to 6), -100 to
    100. Who answered without being known answers for himself each time.
    """
    answer = _answers("nps", moment).subquery("answer")
    a = answer.c
    latest = (
        select(on_own_scale(answer, "nps").label("score"))
        .ext(distinct_on(a.customer_id, a.anonymous))
        .order_by(a.customer_id, a.anonymous, a.given_at.desc(), a.source_id, a.key.desc())
        .subquery("latest")
    )
    score = latest.c.score
    counted = select(
        func.count().label("answers"),
        func.count().filter(score >= PROMOTER_FROM).label("promoters"),
        func.count().filter(score >= PASSIVE_FROM, score < PROMOTER_FROM).label("passives"),
        func.count().filter(score < PASSIVE_FROM).label("detractors"),
    ).subquery("counted")
    c = counted.c
    low, high = net_promoters(c.promoters, c.detractors, c.answers)
    return select(
        literal(FEEDBACK_WINDOW_DAYS, Integer).label("window_days"),
        *c,
        (100 * share(c.promoters - c.detractors, c.answers)).label("score"),
        low.label("low"),
        high.label("high"),
    )


def csat_query(moment: Moment) -> Select[Any]:
    """One row: the share of answers in the window that are 4 or 5 of 5; null without any."""
    on_five = on_own_scale(_answers("csat", moment).subquery("answer"), "csat")
    counted = select(
        func.count().label("answers"),
        func.count().filter(on_five >= SATISFIED_FROM).label("satisfied"),
        cast(func.avg(on_five), Float(53)).label("mean"),
    ).subquery("counted")
    c = counted.c
    low, high = wilson(c.satisfied, c.answers)
    return select(
        literal(FEEDBACK_WINDOW_DAYS, Integer).label("window_days"),
        *c,
        share(c.satisfied, c.answers).label("rate"),
        low.label("low"),
        high.label("high"),
    )


def _answers(kind: str, moment: Moment) -> Select[Any]:
    """The answers of the window; `anonymous` tells those apart whose customer is not known."""
    f = feedback.c
    owned: FromClause = feedback.outerjoin(
        source_profile, source_profile.c.id == f.source_profile_id
    )
    whose = source_profile.c.customer_id
    itself = func.concat(f.source_id, ":", f.key, type_=Text)
    return (
        select(
            f.source_id,
            f.key,
            f.score,
            f.scale,
            f.given_at,
            whose.label("customer_id"),
            case((whose.is_(None), itself)).label("anonymous"),
        )
        .select_from(owned)
        .where(
            f.kind == kind,
            f.deleted_at.is_(None),
            f.score.is_not(None),
            f.given_at <= moment.at,
            f.given_at > moment.before(FEEDBACK_WINDOW_DAYS),
        )
    )
