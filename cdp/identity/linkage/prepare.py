"""From profiles to comparable people: the table that blocking and comparisons read."""

from collections.abc import Mapping
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from cdp.identity.linkage.model import Frequencies
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.names import FORMAL_NAMES

MOST_PERSONS_PER_VALUE: Final = 10
"""Distinct persons who share an address or a number; beyond that it tells nobody from anybody."""

MOST_HOLDERS_PER_VALUE: Final = 1_000  # profiles, whoever they are
ALIKE: Final = 0.75  # by Jaro and Winkler; below that nobody writes one name for the other
MOST_CLASH_HOLDERS: Final = 100  # of a value, to be compared by name, each with each
OFTEN: Final = 8  # times the usual: the first of January is written where only a year is known
DIGITS_THAT_TELL: Final = 5  # in a mailbox: ann.smith and ann1987 are often two people's

_NICKNAMES: Final = pa.table(
    {
        "short": pa.array(list(FORMAL_NAMES), pa.string()),
        "formals": pa.array(
            [sorted(formals) for formals in FORMAL_NAMES.values()], pa.list_(pa.string())
        ),
    }
)

_WORDS: Final = r"""
CREATE OR REPLACE TEMP MACRO words(place) AS
nullif(trim(regexp_replace(strip_accents(lower(place)), '[^\pL\pN]+', ' ', 'g')), '')
"""
"""The words of a place alone: lower case, no accents or punctuation; null where there are none."""

_VALUES: Final = """
CREATE OR REPLACE TEMP TABLE value AS
WITH carried AS (
    SELECT 'email' AS kind, unnest(emails) AS value, * FROM profiles
    UNION ALL SELECT 'phone', unnest(phones), * FROM profiles
), counted AS (
    SELECT kind, value, count(*) AS holders FROM carried
    GROUP BY kind, value HAVING count(*) <= $holders
), crowded AS (
    SELECT kind, value FROM carried
    SEMI JOIN (FROM counted WHERE holders > $persons) USING (kind, value)
    GROUP BY kind, value
    HAVING count(DISTINCT coalesce(given, '') || '|' || coalesce(family, ''))
            FILTER (given IS NOT NULL OR family IS NOT NULL)
        + count(*) FILTER (given IS NULL AND family IS NULL) > $persons
)
SELECT c.kind, c.value, c.profile_id, nullif(split_part(c.given, ' ', 1), '') AS first_name,
    c.family, n.holders
FROM carried c JOIN counted n USING (kind, value) ANTI JOIN crowded USING (kind, value)
"""
"""One row per address or number that tells something, and profile that carries it.

Nameless profiles count one person each here; they are few where names are known at all. Where
hardly anybody shares a value, their names are not looked at.
"""

_CLASHES: Final = """
CREATE OR REPLACE TEMP TABLE clash AS
SELECT a.kind, a.value, a.profile_id AS one, b.profile_id AS other
FROM value a JOIN value b ON a.kind = b.kind AND a.value = b.value AND a.profile_id < b.profile_id
LEFT JOIN nickname an ON an.short = a.first_name
LEFT JOIN nickname bn ON bn.short = b.first_name
WHERE a.holders <= $holders AND a.first_name <> b.first_name
    AND coalesce(a.first_name <> b.family, true) AND coalesce(a.family <> b.first_name, true)
    AND NOT coalesce(list_has_any(an.formals, bn.formals), false)
    AND least(length(a.first_name), length(b.first_name)) > 1
    AND jaro_winkler_similarity(a.first_name, b.first_name) < $alike
    AND jaro_winkler_similarity(
        coalesce(an.formals[1], a.first_name), coalesce(bn.formals[1], b.first_name)) < $alike
"""
"""Two who carry one value and are called by names that nobody writes for each other."""

_SHARED: Final = """
CREATE OR REPLACE TEMP TABLE shared AS
WITH total AS (SELECT kind, value, count(*) AS clashes FROM clash GROUP BY kind, value),
own AS (
    SELECT kind, value, profile_id, count(*) AS clashes FROM (
        SELECT kind, value, one AS profile_id FROM clash
        UNION ALL SELECT kind, value, other FROM clash
    ) GROUP BY kind, value, profile_id
)
SELECT v.profile_id,
    coalesce(list(v.value) FILTER (v.kind = 'email'), []) AS shared_emails,
    coalesce(list(v.value) FILTER (v.kind = 'phone'), []) AS shared_phones
FROM value v JOIN total t USING (kind, value) LEFT JOIN own o USING (kind, value, profile_id)
WHERE t.clashes > coalesce(o.clashes, 0)
GROUP BY v.profile_id
"""
"""For each profile the values that others, not itself, show to be several people's."""

_PEOPLE: Final = """
CREATE OR REPLACE TEMP TABLE person AS
WITH kept AS (
    SELECT profile_id,
        coalesce(list(value ORDER BY value) FILTER (kind = 'email'), []) AS emails,
        coalesce(list(value ORDER BY value) FILTER (kind = 'phone'), []) AS phones,
        coalesce(list(value) FILTER (kind = 'email' AND holders = 2), []) AS lone_emails,
        coalesce(list(value) FILTER (kind = 'phone' AND holders = 2), []) AS lone_phones
    FROM value GROUP BY profile_id
), dated AS (
    SELECT birth_date, count(*) > $often * avg(count(*)) OVER () AS is_common
    FROM profiles WHERE birth_date IS NOT NULL GROUP BY birth_date
), named AS (
    SELECT * REPLACE (nullif(given, '') AS given, nullif(family, '') AS family,
        words(street) AS street, words(city) AS city, words(postal_code) AS postal_code),
        nullif(split_part(given, ' ', 1), '') AS first_name
    FROM profiles
)
SELECT n.profile_id, n.given, n.first_name,
    coalesce(k.formals, CASE WHEN n.first_name IS NULL THEN [] ELSE [n.first_name] END) AS formals,
    coalesce(k.formals[1], n.first_name) AS formal, n.family,
    n.birth_date, strftime(n.birth_date, '%Y%m%d') AS birth_digits,
    coalesce(d.is_common, false) AS birth_date_is_common, left(lower(trim(n.gender)), 1) AS gender,
    n.street, n.city, n.postal_code,
    coalesce(v.emails, []) AS emails, coalesce(v.phones, []) AS phones,
    coalesce(v.lone_emails, []) AS lone_emails, coalesce(v.lone_phones, []) AS lone_phones,
    coalesce(s.shared_emails, []) AS shared_emails, coalesce(s.shared_phones, []) AS shared_phones,
    split_part(v.emails[1], '@', 1) AS mailbox,
    length(mailbox) - length(translate(mailbox, '0123456789', '')) >= $digits
        OR NOT (coalesce(contains(mailbox, n.first_name), false)
            OR coalesce(contains(mailbox, n.family), false)) AS mailbox_tells,
    n.strong, list_sort(list_distinct([regexp_extract(one, '^(.*):', 1)
        FOR one IN n.strong])) AS strong_kinds,
    CASE WHEN n.first_name IS NOT NULL THEN log2($people * coalesce(f.share, $rare_given)) END
        AS given_rarity,
    CASE WHEN n.family IS NOT NULL THEN log2($people * coalesce(l.share, $rare_family)) END
        AS family_rarity,
    given_rarity + family_rarity - log2($people) AS name_rarity
FROM named n
LEFT JOIN kept v USING (profile_id) LEFT JOIN shared s USING (profile_id)
LEFT JOIN dated d ON d.birth_date = n.birth_date
LEFT JOIN nickname k ON k.short = n.first_name
LEFT JOIN given_frequency f ON f.name = n.first_name
LEFT JOIN family_frequency l ON l.name = n.family
"""
"""One row per profile. Rarities: log2 of how many profiles bear the name by chance."""


def prepare(connection: duckdb.DuckDBPyConnection, profiles: pa.Table) -> None:
    """Register the profiles, and the values that tell something of who carries them."""
    connection.register("profiles", profiles.cast(PROFILES))
    connection.register("nickname", _NICKNAMES)
    connection.execute(_WORDS)
    connection.execute(
        _VALUES, {"persons": MOST_PERSONS_PER_VALUE, "holders": MOST_HOLDERS_PER_VALUE}
    )
    connection.execute(_CLASHES, {"holders": MOST_CLASH_HOLDERS, "alike": ALIKE})
    connection.execute(_SHARED)


def count_names(connection: duckdb.DuckDBPyConnection) -> Frequencies:
    """How often each name is borne, of the profiles that `prepare` has registered."""
    profiles = connection.execute("SELECT count(*) FROM profiles").fetchall()[0][0]
    given = _counts(connection, "nullif(split_part(given, ' ', 1), '')")
    family = _counts(connection, "nullif(family, '')")
    return Frequencies(profiles, sum(given.values()), sum(family.values()), given, family)


def make_people(connection: duckdb.DuckDBPyConnection, frequencies: Frequencies) -> None:
    """Make the table `person` of what `prepare` has registered; names weigh by their frequency."""
    connection.register("given_frequency", _shares(frequencies.given, frequencies.given_count))
    connection.register("family_frequency", _shares(frequencies.family, frequencies.family_count))
    connection.execute(
        _PEOPLE,
        {
            "people": max(frequencies.profiles, 1),
            "digits": DIGITS_THAT_TELL,
            "often": OFTEN,
            "rare_given": 1 / max(frequencies.given_count, 1),
            "rare_family": 1 / max(frequencies.family_count, 1),
        },
    )


def _counts(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, int]:
    rows = connection.execute(
        f"SELECT {name} AS name, count(*) AS times FROM profiles WHERE {name} IS NOT NULL"  # noqa: S608  # our own constants
        " GROUP BY ALL ORDER BY times DESC, name"
    )
    return dict(rows.fetchall())


def _shares(counts: Mapping[str, int], total: int) -> pa.Table:
    names, times = pa.array(counts.keys(), pa.string()), pa.array(counts.values(), pa.float64())
    return pa.table({"name": names, "share": pc.divide(times, float(max(total, 1)))})
