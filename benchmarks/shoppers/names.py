"""Names for a crowd: the common ones of the sample business, and rarer ones put together."""

from itertools import accumulate
from typing import Final

from connectors.sandbox.business.names import GIVEN_NAMES, NICKNAMES, SURNAMES

_RARER_GIVEN: Final = {
    "female": """
Abigail Adele Agnes Alma Amanda Anita Astrid Audrey Ava Bianca Bridget Brenda Carmen Cecilia Celia
Clara Daisy Daphne Denise Edith Elena Elaine Eliza Ellen Erica Esther Eva Evelyn Faith Flora Gemma
Gloria Greta Gwen Hazel Heidi Helena Hilda Imogen Irene Iris Ivy Jacqueline Jasmine Jean Josephine
Joyce June Justine Kirsten Lara Leona Lillian Lorna Lydia Mabel Marcia Margot Marina Marta Matilda
Maureen Mercedes Mina Mira Monica Muriel Myra Nina Nora Odette Olga Paula Petra Phoebe Ramona Rita
Roberta Rosa Roxana Sabrina Selma Sheila Silvia Simone Sonia Stella Sylvia Tabitha Tamara Tara Thea
Una Ursula Valentina Vera Verena Viola Vivian Wanda Wendy Wilma Winifred Yvonne Zara
""",
    "male": """
Abel Adrian Albert Alfred Alvin Angus Armand Arnold Axel Barnaby Basil Bernard Bertram Boris Bruno
Caleb Carl Cecil Cedric Clement Clifford Conrad Craig Curtis Cyril Damian Darren Dean Denis Derek
Desmond Dexter Donald Douglas Duncan Dylan Edgar Edmund Elias Elliot Emil Ernest Evan Fabian Finn
Floyd Gareth Gavin Gilbert Glenn Gordon Graham Guy Hamish Harold Hector Herbert Howard Hubert Hugh
Igor Irving Ivan Ivor Jasper Jerome Joel Julian Kurt Lambert Leon Leroy Lewis Lionel Lloyd Magnus
Malcolm Marcus Marius Maurice Miles Milo Morris Neil Neville Nigel Noel Norman Otto Owen Percy
Quentin Ralph Ramon Reginald Rex Roland Roman Rufus Rupert Russell Saul Sean Sidney Stanley Stefan
Tobias Tristan Valentin Vernon Viktor Wallace Warren Wesley Wilfred Xavier Yann
""",
}

_BEGINNINGS: Final = """
Ald Ash Bax Bel Birk Bos Brad Bram Brig Bur Cald Carl Cas Chel Cot Crom Dal Den Dor Dun East El
Fair Far Fen Glad Glen Had Hal Ham Har Haw Hay Hep Hol Hor Hux Kel Ken Kings Kirk Lan Lang Leigh
Lind Long Mal Mar Mel Mid Mor Nor Old Pen Pres Rad Ram Red Rock Ros Rush Sel Shel Shir Staf Stan
Stock Sut Thorn Tor Tren Wal War West Wet Whit Win Wood Wyn Yar
""".split()
_ENDINGS: Final = """
beck berry borne borough bourne bridge brook burn bury by combe cote croft dale den don field ford
gate grove ham hurst ington land ley low man mere more ridge sey shaw stead stock stone thorpe ton
ward well wick wood worth
""".split()

GIVEN_FLATNESS: Final = 12  # the most common given name is about one in forty
FAMILY_FLATNESS: Final = 30  # the most common family name is about one in two hundred


def _falling(count: int, flatness: float) -> list[float]:
    """Cumulative weights that fall with the rank, as the frequencies of names do."""
    return list(accumulate(1 / (rank + flatness) for rank in range(count)))


GIVEN: Final = {
    gender: (*common, *_RARER_GIVEN[gender].split()) for gender, common in GIVEN_NAMES.items()
}
GIVEN_WEIGHTS: Final = {gender: _falling(len(n), GIVEN_FLATNESS) for gender, n in GIVEN.items()}
FAMILY: Final = tuple(
    dict.fromkeys(
        [*SURNAMES, *(f"{first}{last}" for last in _ENDINGS for first in _BEGINNINGS)],
    )
)
FAMILY_WEIGHTS: Final = _falling(len(FAMILY), FAMILY_FLATNESS)

__all__ = ["FAMILY", "FAMILY_WEIGHTS", "GIVEN", "GIVEN_WEIGHTS", "NICKNAMES"]
