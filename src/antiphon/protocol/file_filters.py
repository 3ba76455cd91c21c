"""Filters of files by their attributes: those of `file_search` and of searches in vector stores."""

from antiphon.protocol.wire import Wire

Scalar = str | int | float | bool


class Comparison(Wire, tag_field="type"):
    """Compares an attribute of a file with a value."""

    key: str
    value: Scalar | list[str | int | float]


class Eq(Comparison, tag="eq"):
    pass


class Ne(Comparison, tag="ne"):
    pass


class Gt(Comparison, tag="gt"):
    pass


class Gte(Comparison, tag="gte"):
    pass


class Lt(Comparison, tag="lt"):
    pass


class Lte(Comparison, tag="lte"):
    pass


class In(Comparison, tag="in"):
    pass


class Nin(Comparison, tag="nin"):
    pass


class Compound(Wire, tag_field="type"):
    filters: list["Filter"]


class And(Compound, tag="and"):
    pass


class Or(Compound, tag="or"):
    pass


Filter = Eq | Ne | Gt | Gte | Lt | Lte | In | Nin | And | Or
