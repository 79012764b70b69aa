"""What an act on points can be refused for, each with a stable code."""

from cdp.errors import BadInput


class PointsRefused(BadInput):
    """An act on points that cannot be done; `code` says why."""

    def __init__(self, code: str, message: str, *, todo: str = "", path: str | None = None) -> None:
        super().__init__(message, todo=todo, path=path)
        self.code = code


class NoProgramme(PointsRefused):
    """There is no programme in force."""

    def __init__(self) -> None:
        super().__init__(
            "NO_PROGRAMME",
            "There is no loyalty programme.",
            todo="Apply one with cdp loyalty programme apply FILE.",
        )


class InsufficientPoints(PointsRefused):
    """More points are asked for than can be spent."""

    def __init__(self, wanted: int, there: int, path: str = "points") -> None:
        super().__init__(
            "INSUFFICIENT_POINTS",
            f"{wanted} points are asked for, and {max(there, 0)} can be spent.",
            path=path,
        )


class UnknownReward(PointsRefused):
    """The programme has no such reward."""

    def __init__(self, name: str, known: str) -> None:
        super().__init__(
            "UNKNOWN_REWARD",
            f"There is no reward {name!r}.",
            todo=f"There are: {known or 'none'}.",
            path="reward",
        )


class TierTooLow(PointsRefused):
    """The reward asks for a tier that the customer does not hold."""

    def __init__(self, reward: str, tier: str) -> None:
        super().__init__(
            "TIER_TOO_LOW",
            f"The reward {reward!r} is for the tier {tier} and above.",
            path="reward",
        )


class Suspended(PointsRefused):
    """The customer is suspended from the programme."""

    def __init__(self) -> None:
        super().__init__("SUSPENDED", "The customer is suspended from the programme.")


class HoldClosed(PointsRefused):
    """The hold was captured, released, or has lapsed; or the act was taken back before."""

    def __init__(self, key: str, state: str) -> None:
        super().__init__("CLOSED", f"{key!r} {state}.", path="key")
