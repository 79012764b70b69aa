"""Whether two names may be one person's: short forms, initials, typos, turned names allowed."""

from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

SHORTEST_TYPO: Final = 4  # letters; below that one other letter is another name (Ann, Ian)
SHORTEST_GIVEN_TYPO: Final = 5  # letters; given names lie closer together than family names
NAME_CACHE_ENTRIES: Final = 65_536

_NICKNAMES: Final = """
abigail abby abbie gail; adelaide addie; agnes aggie; alan al; albert al bert bertie; alexander
alex al sasha xander sandy lex; alexandra alex sandra sasha lexi sandy; alfred alf alfie fred;
alison ali; allan al; allison ali; amanda mandy; amelia millie mel amy; andrea andie; andrew andy
drew; angela angie; angelina angie; anna ann annie; annabel bel belle; anne ann annie nan; anthony
tony ant; antonia toni; arabella bella; archibald archie; arnold arnie; arthur art artie; augustus
gus; barbara barb babs; barnaby barney; bartholomew bart; beatrice bea; belinda bel linda;
benedict ben; benjamin ben benny; bernadette bernie detta; bernard bernie; bertram bert bertie;
bradley brad; bridget bridie; callum cal; calvin cal; cameron cam; caroline carol carrie;
cassandra cass cassie sandra; catherine kate katie cathy cat; cecilia celia cissy; charles charlie
chuck chas; charlotte charlie lottie; chester chet; christian chris; christine chris chrissy tina
christina; christopher chris kit topher; clarence clancy; clement clem; clifford cliff; constance
connie; cordelia delia; cornelius neil; curtis curt; cynthia cindy; cyril cy; daniel dan danny;
daniela dani; daphne daph; david dave davey; deborah deb debbie; deirdre dee; denise denny; dennis
den denny; desmond des; dominic dom nic; dominick dom nick; donald don donnie; dorothy dot dottie;
douglas doug dougie; dwight ike; edith edie; edmund ed eddie ned ted; edward ed eddie ted ned;
edwin ed eddie; eileen elly; elaine lainey; eleanor ellie nell nora; elizabeth liz beth betty
lizzie eliza libby; ellen ellie nell; elliott eli; emilia emmy millie; emily em emmy; emma em;
ernest ernie; esther essie; eugene gene; eugenia genie; evangeline eva evie; evelyn eve evie;
ezekiel zeke; fernando nando; fiona fi; florence flo florrie flossie; frances fran frankie;
francis frank; franklin frank; frederica freddie; frederick fred freddie; gabriel gabe; gabriella
gabby; geoffrey geoff jeff; george georgie; georgia georgie gina; georgina georgie gina; gerald
gerry jerry; gertrude gertie trudy; gilbert gil bert; giovanni gio gianni; gordon gordie; grace
gracie; graham gray; gregory greg; gwendolyn gwen; harold harry hal; harriet hattie; harvey harv;
helen nell nellie lena; helena lena nell; henrietta hattie hetty etta; henry harry hank hal;
herbert herb bert; hilary hil; horace ace; howard howie; hubert bert hugh; ignatius iggy; imogen
immy; irene rene; isaac ike zac; isabella bella izzy isabel; isidore izzy; jacob jake; jacqueline
jackie jacqui; james jim jimmy jamie jem; jane janie; janet jan; janice jan; jasmine jas jazz;
jeannette jean jeanie; jeffrey jeff; jennifer jen jenny; jeremiah jerry jem; jeremy jem jerry;
jerome jerry; jesse jess; jessica jess jessie; joan joanie; joanna jo joanne; jocelyn joss;
johanna jo hanna; john johnny jack jon; jolene jo; jonas jon; jonathan jon jonny; joseph joe joey;
josephine jo josie joey; joshua josh; joyce joy; judith judy; julia jules julie; julian jules
jools; juliet jules julie; juliette jules; justin jus; karen kaz; katharine kate kathy katie kit;
katherine kate katie kathy kat kathryn; kathleen kath kathy katie; katrina kat trina; keith kay;
kenneth ken kenny; kimberly kim; kristen kris kirsty; kristina kris kristy tina; lambert bert;
laura laurie; lawrence larry; leonard leo len lenny; leopold leo; leroy lee roy; leslie les;
lillian lil lily lilly; linda lindy; lionel leo; lorraine lori; louis lou; louise lou; lucille
lucy lu; lucinda lucy cindy; lucy lu; lydia liddy; madeleine maddie; magdalena lena maggie;
malcolm mal mac; marcus marc mark; margaret maggie meg peggy marge; margery marge; marguerite
maggie rita daisy; maria mia; marianne mari anne; marilyn mary lynn; marjorie marge margie;
marshall marsh; martha marty mattie; martin marty; martina tina; mary molly polly; matilda tilly
tilda mattie; matthew matt matty; maureen mo; maurice mo moe; maximilian max; maxwell max; megan
meg; melanie mel; melissa mel; mercedes mercy; michael mike mick mickey; michelle shelly; mildred
millie; miles milo; millicent millie; milton milt; miranda mandy mira; mitchell mitch; mohammad
mo; mohammed mo; monica mon; montgomery monty; morris mo; muhammad mo; muriel mur; myron ron;
nadine nadia; nancy nan; natalia nat talia natasha; natalie nat; natasha tasha nat; nathan nate;
nathaniel nate nat; neville nev; nicholas nick nicky; nicola nicky; nicole nikki; nigel nige;
norman norm; octavia tavy; oliver ollie; olivia liv livvy; olympia pia; ophelia phelia; oscar
ozzie; pamela pam; patricia pat patty trish tricia; patrick pat paddy; paul pauly; paulina paula
polly; penelope penny; percival percy; peter pete; petronella nell; philip phil; philippa pippa;
phyllis phil; priscilla cilla; prudence pru; quentin quin; quincy quin; rachel rach; ramona mona;
randall randy; randolph randy dolph; raphael rafe raf; raymond ray; rebecca becky becca; regina
gina; reginald reg reggie; reuben rube ben; rhoda ro; richard rick dick richie rich; robert bob
bobby rob robbie bert; roberta bobbie; roderick rod roddy; rodney rod; roger rodge; roland rollo
rolly; ronald ron ronnie; rosalie rose rosie; rosalind ros roz linda; rosamund ros roz; roseanne
rose rosie; rosemary rose rosie; rowena ro; roxana roxy; roxanne roxy; rudolph rudy dolph; rufus
rufe; rupert rupe; russell russ; ruth ruthie; sabrina brina; salvatore sal; samantha sam sammy;
samuel sam sammy; sandra sandy; sarah sally sadie; sebastian seb; selina lina; seymour sy; sharon
shaz; sheila shel; shirley shirl; sidney sid; silvia syl; simon si; solomon sol solly; sophia
sophie; spencer spence; stanley stan; stella stell; stephanie steph; stephen steve stevie; steven
steve stevie; stewart stu stew; stuart stu stew; susan sue susie suzie; suzanne sue suzy;
sylvester sly; sylvia syl; tabitha tabby; tamara tammy tam; tamsin tam; terence terry tel; teresa
terry tess; thaddeus tad thad; thelma thel; theodore ted theo teddy; theresa terry tess; thomas
tom tommy; timothy tim timmy; tobias toby tobe; tracy trace; trevor trev; tristan tris; ulysses
lyss; ursula urs ursie; valerie val; vanessa nessa ness; vaughan von; vernon vern; veronica ronnie
vera nica; victor vic; victoria vicky tori; vincent vince vinny; virginia ginny; vivian viv;
vivienne viv; wallace wally wal; walter walt wally; warren wren; wendy wen; wesley wes; wilbur
will; wilfred wilf fred will; wilhelmina mina billie willa; willard will bill; william will bill
billy liam willy; winifred win winnie freddie; winston win; yasmin yaz; yolanda yoli; yvette eve;
yvonne eve vonnie; zachariah zach zack; zachary zach zack; zoe zo
"""
"""Our own list of English short forms; each entry is a formal name and what it is shortened to."""


def _read_nicknames() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for entry in _NICKNAMES.replace("\n", " ").split(";"):
        formal, *short = entry.split()
        for name in (formal, *short):
            groups.setdefault(name, set()).add(formal)
    return {name: frozenset(formals) for name, formals in groups.items()}


FORMAL_NAMES: Final = _read_nicknames()
"""Name to the formal names that it may stand for, itself included where it is one."""


class Person(msgspec.Struct, frozen=True):
    """What tells one person from another who shares an identifier. Empty or None: not known."""

    given: str
    family: str
    birth_date: date | None = None

    @property
    def is_named(self) -> bool:
        """Whether there is any name to compare."""
        return bool(self.given or self.family)


@lru_cache(maxsize=NAME_CACHE_ENTRIES)
def may_be_one(left: Person, right: Person, *, family_may_change: bool) -> bool:
    """Whether two who share an identifier may be one person; what is not known never clashes.

    `family_may_change`: people keep an address through a marriage, a phone number gets recycled.
    """
    if not dates_agree(left.birth_date, right.birth_date):
        return False
    if left.given == right.family and left.family == right.given and left.given:
        return True
    if not given_agree(left.given, right.given):
        return False
    if family_agree(left.family, right.family):
        return True
    return family_may_change and bool(left.given) and bool(right.given)


def given_agree(left: str, right: str) -> bool:
    """Whether given names may be one person's, by their first words; not known agrees."""
    if not left or not right or left == right:
        return True
    first, other = left.split()[0], right.split()[0]
    if first == other or (min(len(first), len(other)) == 1 and first[0] == other[0]):
        return True
    formal, other_formal = FORMAL_NAMES.get(first), FORMAL_NAMES.get(other)
    if formal and other_formal:
        return not formal.isdisjoint(other_formal)
    # Paul and Paula, Maria and Mario are couples, not typos.
    is_long = min(len(first), len(other)) >= SHORTEST_GIVEN_TYPO
    return is_long and first[-1] == other[-1] and is_typo(first, other)


def family_agree(left: str, right: str) -> bool:
    """Whether family names may be one person's; a part of a double name agrees with the whole."""
    if not left or not right or left == right:
        return True
    words, others = set(left.split()), set(right.split())
    return not words.isdisjoint(others) or is_typo(left.replace(" ", ""), right.replace(" ", ""))


def dates_agree(left: date | None, right: date | None) -> bool:
    """Whether birth dates may be one: equal, day and month turned, or one digit off."""
    if left is None or right is None or left == right:
        return True
    if left.year == right.year and (left.month, left.day) == (right.day, right.month):
        return True
    digits = zip(left.isoformat(), right.isoformat(), strict=True)
    return sum(a != b for a, b in digits) == 1


def is_typo(left: str, right: str) -> bool:
    """Whether one edit (a letter added, lost, changed or turned with the next) parts two words."""
    if abs(len(left) - len(right)) > 1 or min(len(left), len(right)) < SHORTEST_TYPO:
        return False
    start = 0
    shortest = min(len(left), len(right))
    while start < shortest and left[start] == right[start]:
        start += 1
    rest, other = left[start:], right[start:]
    if len(rest) == len(other):
        turned = len(rest) >= 2 and rest[:2] == other[1::-1] and rest[2:] == other[2:]
        return rest[1:] == other[1:] or turned
    return rest[1:] == other if len(rest) > len(other) else rest == other[1:]
