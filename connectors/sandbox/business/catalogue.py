"""What the sample business sells, in euros."""

from dataclasses import dataclass
from typing import Final

CURRENCY: Final = "EUR"


@dataclass(frozen=True, slots=True)
class Product:
    """One article; `price_minor` is in cents."""

    number: int
    title: str
    category: str
    price_minor: int

    @property
    def sku(self) -> str:
        """The code on its label."""
        return f"{self.category[:3].upper()}-{self.number:03d}"


_SHELVES: Final[dict[str, dict[str, int]]] = {
    "Kitchen": {
        "Enamel mug": 1200,
        "Cast-iron pan": 6400,
        "Linen apron": 3400,
        "Bread knife": 2900,
        "Stoneware bowl": 1800,
        "Tea kettle": 4900,
        "Oak chopping board": 3800,
    },
    "Coffee and tea": {
        "House espresso 250 g": 950,
        "House espresso 1 kg": 3200,
        "Breakfast tea tin": 890,
        "Filter papers": 450,
        "Hand grinder": 5900,
        "Cold-brew bottle": 2700,
    },
    "Garden": {
        "Seed collection": 1500,
        "Pruning shears": 3600,
        "Watering can": 2800,
        "Terracotta pot": 1400,
        "Gardening gloves": 1600,
        "Bird feeder": 2200,
        "Folding chair": 7900,
    },
    "Stationery": {
        "Dotted notebook": 1400,
        "Fountain pen": 4200,
        "Wall calendar": 1900,
        "Letter set": 1100,
        "Pencil case": 1700,
    },
    "Clothing": {
        "Wool scarf": 4500,
        "Rain jacket": 12900,
        "Canvas tote": 1900,
        "Merino socks": 1500,
        "Flannel shirt": 6900,
        "Winter hat": 2600,
    },
    "Toys": {
        "Wooden train": 3900,
        "Jigsaw puzzle": 1900,
        "Card game": 1300,
        "Kite": 2400,
        "Plush fox": 2100,
    },
}

PRODUCTS: Final = tuple(
    Product(number, title, category, price_minor)
    for number, (category, title, price_minor) in enumerate(
        (
            (category, title, price_minor)
            for category, shelf in _SHELVES.items()
            for title, price_minor in shelf.items()
        ),
        start=1,
    )
)
