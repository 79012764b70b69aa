"""Every trait there is, by group: an explicit list; nothing registers itself by being imported."""

from cdp.traits.churn import CHURN
from cdp.traits.engagement import ENGAGEMENT
from cdp.traits.feedback import FEEDBACK
from cdp.traits.lifecycle import LIFECYCLE
from cdp.traits.loyalty import LOYALTY
from cdp.traits.purchases import PURCHASES
from cdp.traits.rfm import RFM
from cdp.traits.subscription import SUBSCRIPTION
from cdp.traits.support import SERVICE
from cdp.traits.trait import Group
from cdp.traits.value import CLTV

CATALOG: tuple[Group, ...] = (
    PURCHASES,
    RFM,
    CLTV,
    CHURN,
    LOYALTY,
    ENGAGEMENT,
    SERVICE,
    FEEDBACK,
    SUBSCRIPTION,
    LIFECYCLE,
)
"""The groups, in the order of display."""
