"""What each key of an order file means, in one line: for the schema that editors show, for the comments and
questions of `blocker new`. Keys of parts are written `authority.contact`. Pure; `tables` has the rules.
"""

from __future__ import annotations

MEANINGS: dict[str, str] = {
    "order": "the file's path below the orders folder, without .yaml",
    "kind": "block, suspend, reinstate, lift or amend",
    "of": "the order this one is about, or one directive of it: authority/slug/directive",
    "authority": "the body that issued the order",
    "authority.name": "who issued it",
    "authority.jurisdiction": "ISO 3166 code of its country or a part of it: ID, DE-BY",
    "authority.contact": "where the order can be contested: mailto:, https:// or tel:",
    "legal_basis": "the law it rests on, at least one",
    "reference": "the authority's own case or letter number",
    "issued": "the date of the instrument",
    "received": "when it reached us; lateness counts from there at the earliest",
    "deadline": "how long after receipt it must be carried out: 30m, 24h, 2d",
    "publication": "who may know of it: public, sealed-until-effective, sealed",
    "document": "a copy of the instrument beside the order",
    "directives": "what is blocked, where and how long; each is lifted by itself",
    "add": "directives that join the amended order and share its fate",
    "remove": "names that leave the amended order, with all below them",
    "remove_file": "a file of names that leave the amended order",
    "from": "from when it is in force; a date alone is 00:00 UTC",
    "until": "the instant it ends; open if not given",
    "review_by": "when an open order is looked at again",
    "directive.id": "its own name within the order",
    "directive.names": "names and all below them; *.name is only what is below",
    "directive.names_file": "a long list: one name a line, fixed by its digest",
    "directive.match": "subtree: names and all below them; exact: the names alone",
    "directive.except": "names cut out of this directive, with all below them",
    "directive.regions": "where it applies; ID means every ID-… too",
    "directive.action": "nxdomain, nodata, refused, or {redirect: [addresses]}",
    "directive.continues": "the directive that it goes on with: what is done about that one holds for it too",
    "file": "its path, relative to the order",
    "sha256": "what sha256sum prints for it",
}
