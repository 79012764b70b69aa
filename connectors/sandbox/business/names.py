"""Common names, streets and places, typed for the sample business, the frequent ones first."""

from typing import Final

_WOMEN: Final = """
Mary:Molly,Polly Emma:Em Sarah:Sally Laura Anna:Annie Elizabeth:Liz,Beth,Lizzie,Betty Julia:Jules
Catherine:Kate,Katie,Cathy Jennifer:Jen,Jenny Olivia:Liv,Livvy Charlotte:Charlie,Lottie
Susan:Sue,Susie Margaret:Maggie,Meg,Peggy Rebecca:Becky,Becca Sophia:Sophie Jessica:Jess Claire
Alice Lucy:Lu Victoria:Vicky,Tori Hannah Patricia:Pat,Trish,Tricia Alexandra:Alex,Sandra,Lexi
Maria Nicola:Nicky Rachel:Rach Amelia:Millie Emily:Em Isabella:Bella,Izzy Grace Camille Helen
Karen Samantha:Sam Christine:Chris,Chrissy Stephanie:Steph Deborah:Debbie,Deb Manon
Barbara:Barb,Babs Chloe Lea Ruth Eleanor:Ellie,Nell Michelle:Shelly Judith:Judy Joanna:Jo Amy
Louise:Lou Melissa:Mel Ines Zoe Harriet:Hattie Frances:Fran,Frankie Theresa:Terry,Tess
Caroline:Carol,Carrie Megan:Meg Nadia Fiona Priya Aisha Ella Elsa Georgia Molly Holly
Philippa:Pippa Rosemary:Rose,Rosie Beatrice:Bea Mia Marie Pauline Leila Yasmin Diane Kimberly:Kim
Dorothy:Dot,Dottie Gabriella:Gabby Penelope:Penny Ingrid Naomi Freya Esme
"""

_MEN: Final = """
John:Johnny,Jack James:Jim,Jimmy,Jamie Thomas:Tom,Tommy William:Will,Bill,Billy David:Dave,Davey
Michael:Mike,Mick Robert:Rob,Bob,Bobby Daniel:Dan,Danny Paul Peter:Pete Andrew:Andy,Drew
Richard:Rick,Rich Matthew:Matt George Charles:Charlie,Chas Joseph:Joe,Joey
Alexander:Alex,Sandy,Xander Lucas Samuel:Sam,Sammy Benjamin:Ben,Benny Christopher:Chris,Kit
Edward:Ed,Eddie,Ted Oliver:Ollie Mark Simon Stephen:Steve Anthony:Tony,Ant Jacob:Jake Harry Adam
Luke Jonathan:Jon,Jonny Hugo Henry:Harry,Hal Noah Timothy:Tim Nicholas:Nick,Nicky Kevin
Patrick:Pat,Paddy Louis:Lou Martin:Marty Philip:Phil Theodore:Theo,Teddy Jules Max Ryan
Joshua:Josh Kenneth:Ken,Kenny Gregory:Greg Frederick:Fred,Freddie Arthur:Art Leonard:Leo,Lenny
Ronald:Ron,Ronnie Nathan:Nate Gabriel:Gabe Ian Omar Antoine Raymond:Ray Victor:Vic
Walter:Walt,Wally Sebastian:Seb Vincent:Vince Lawrence:Larry Colin Zachary:Zach,Zack Raj
Mohammed:Mo Isaac Alan:Al Eric Geoffrey:Geoff Gerald:Gerry Hassan Ethan Felix Dominic:Dom
Callum:Cal Rory Silas
"""

_SURNAMES: Final = """
Smith Jones Taylor Brown Williams Martin Wilson Johnson Davies Miller Walker White Evans Roberts
Green Bernard Thompson Wright Robinson Hall Dubois Wood Clarke Jackson Davis Harris Thomas Cooper
Anderson King Lee Baker Moreau Moore Clark Lewis Morris Young Hill Ward Turner Morgan Laurent
Allen Cook Scott Watson Parker Edwards Bennett Simon Bailey Kelly Garcia Collins Murphy Bell Shaw
Nguyen Reed Cox Petit Adams Richardson Mitchell Carter Phillips Campbell Stewart Murray Rogers
Durand Gray Hughes Price Foster Ross Palmer Leroy Stone Hunt Mason Chapman Knight Webb Lambert
Barnes Fisher Mills Grant Ellis Roux Harvey Rose Russell Butler Simpson Fletcher Marshall Fournier
Gibson Owen Hart Dixon Girard Pearson Lane Graham Spencer Bonnet Matthews Cole West Dupont Payne
Reynolds Gordon Burton Armstrong Holmes Jenkins Ford Fontaine Lawrence Saunders Booth Rousseau
Perry Andrews Blake Warren Freeman Wells Burke Vincent Barker Lopez Chevalier Doyle Carr Hudson
Dean Francis Hayes Patel Singh Khan Ahmed Ali Shah Begum Kaur Chen Wang Kim Park Tran Pham Silva
Santos Costa Pereira Rossi Romano Ferrari Bruno Schmidt Weber Wagner Becker Hoffmann Koch Klein
Wolf Neumann Schwarz Braun Nowak Kowalska Novak Horvat Jansen Visser Bakker Larsen Hansen Nielsen
Berg Lindgren Haugen Virtanen Nygaard Okafor Mensah Diallo Traore Osei Adeyemi Abebe Ito Sato
Tanaka Suzuki Yamada Haddad Nassar Mansour Aziz Rahman Chowdhury Das Gupta Mehta Reddy Iyer Cohen
Levy Katz Barnett Abbott Akers Alder Appleby Ashdown Atwood Aylward Bannister Barlow Beckett Birch
Blackwood Bramley Brennan Bristow Buckley Calloway Cartwright Cavendish Chadwick Corbett Crowther
Dalton Darby Dempsey Drummond Dunmore Eastwood Ellwood Fairbairn Fenwick Finch Gallagher Garland
Goddard Greenwood Hadley Halliday Hargreaves Hawthorne Heath Holloway Huxley Ingram Ives Jarvis
Keane Kendrick Lacey Langley Linwood Lockwood Mayhew Merrick Nash Norwood Oakley Ormond Peverell
Quinn Radcliffe Redfern Ridley Rowntree Sadler Selwyn Stanhope Talbot Thorne Underhill Vaughan
Wainwright Westbrook Whitlock Winslow Wyatt Yardley
"""

_STREETS: Final = """
High Street, Station Road, Church Lane, Mill Lane, Park Avenue, Victoria Road, Green Lane,
Manor Road, Kings Road, Queens Road, The Crescent, New Street, West Street, North Road,
Chapel Street, Orchard Close, Rue des Lilas, Rue du Moulin, Avenue de la Gare, Rue de l'Eglise,
Place du Marche, Oak Street, Maple Avenue, Cedar Lane, Second Street, Lake Drive,
Hillside Terrace, River Walk, Garden Row, Harbour View, Bridge Street, School Lane, Meadow Way,
Springfield Road, Grange Park, Beech Grove
"""


PLACES: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "GB": (
        ("Leeds", "West Yorkshire", "LS"),
        ("Bristol", "Avon", "BS"),
        ("Sheffield", "South Yorkshire", "S"),
        ("Reading", "Berkshire", "RG"),
        ("Leicester", "Leicestershire", "LE"),
        ("Cardiff", "South Glamorgan", "CF"),
    ),
    "FR": (("Lyon", "", "690"), ("Nantes", "", "440"), ("Lille", "", "590"), ("Dijon", "", "210")),
    "US": (
        ("Portland", "OR", "972"),
        ("Austin", "TX", "787"),
        ("Denver", "CO", "802"),
        ("Albany", "NY", "122"),
    ),
    "AU": (("Perth", "WA", "60"), ("Hobart", "TAS", "70"), ("Geelong", "VIC", "32")),
}
"""Country to its towns: name, region, how a postal code begins."""


def _read(text: str) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for entry in text.split():
        name, _, short = entry.partition(":")
        names[name] = tuple(filter(None, short.split(",")))
    return names


def _cumulative(count: int, flatness: float) -> tuple[float, ...]:
    """Cumulative weights that fall with the rank, as the frequencies of names do."""
    total, sums = 0.0, []
    for rank in range(count):
        total += 1 / (rank + flatness)
        sums.append(total)
    return tuple(sums)


NICKNAMES: Final = _read(_WOMEN) | _read(_MEN)
"""Given name to its short forms."""

GIVEN_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "female": tuple(_read(_WOMEN)),
    "male": tuple(_read(_MEN)),
}
GIVEN_WEIGHTS: Final = {
    gender: _cumulative(len(names), 12) for gender, names in GIVEN_NAMES.items()
}
STREETS: Final = tuple(name.strip() for name in _STREETS.split(","))
SURNAMES: Final = tuple(dict.fromkeys(_SURNAMES.split()))
SURNAME_WEIGHTS: Final = _cumulative(len(SURNAMES), 20)
