"""Operations of the matrix products in a traced function: an oracle for counts."""

import math

import jax


def count(function, *arguments):
    """Operations of all products whose results are used, loops included.

    Args:
      function: what is traced.
      *arguments: of it.
    """
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    return _of(jaxpr, set(map(id, jaxpr.outvars)))


def _of(jaxpr, needed):
    total = 0
    for equation in reversed(jaxpr.eqns):
        used = [id(x) in needed for x in equation.outvars]
        if not any(used):
            continue
        needed |= set(map(id, equation.invars))
        if equation.primitive.name == "dot_general":
            total += _product(equation)
        times = equation.params.get("length", 1)
        # A loop gives its results to itself: all of them count as used.
        loop = equation.primitive.name in ("scan", "while")
        for inner in _inner(equation.params):
            kept = inner.outvars
            if len(kept) == len(used) and not loop:
                kept = [x for x, u in zip(kept, used, strict=True) if u]
            total += times * _of(inner, set(map(id, kept)))
    return total


def _inner(params):
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one


def _product(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    terms = math.prod(shape[k] for k in contracted)
    return 2 * terms * math.prod(equation.outvars[0].aval.shape)
