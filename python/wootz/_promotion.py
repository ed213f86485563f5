"""Promotion of element types: JAX's lattice, with Python's numbers weak."""

from wootz._native import DType

bool_ = DType("bool")
u8 = DType("u8")
u32 = DType("u32")
i32 = DType("i32")
i64 = DType("i64")
f16 = DType("f16")
bf16 = DType("bf16")
f32 = DType("f32")
f64 = DType("f64")

BY_NAME = {d.name: d for d in (bool_, u8, u32, i32, i64, f16, bf16, f32, f64)}

# "int" and "float" are Python's: they adapt to whatever they meet. (JAX, "Type promotion semantics", with the types there are here.)
_ABOVE = {
    "bool": ("int",),
    "int": ("u8", "i32"),
    "u8": ("i32", "u32"),
    "u32": ("i64",),
    "i32": ("i64",),
    "i64": ("float",),
    "float": ("f16", "bf16"),
    "f16": ("f32",),
    "bf16": ("f32",),
    "f32": ("f64",),
    "f64": (),
}
# What Python's numbers are where nothing else decides.
DEFAULT = {"int": "i64", "float": "f32"}


def _closure(name: str) -> frozenset:
    return frozenset({name}).union(*[_closure(above) for above in _ABOVE[name]])


_UPPER = {name: _closure(name) for name in _ABOVE}
_JOIN = {
    (a, b): max(_UPPER[a] & _UPPER[b], key=lambda n: len(_UPPER[n])) for a in _ABOVE for b in _ABOVE
}


def join(a: str, b: str) -> str:
    """The least type that both fit into."""
    return _JOIN[a, b]


def result_type(*dtypes: DType) -> DType:
    """The type that arithmetic on tensors of these types has."""
    name = dtypes[0].name
    for dtype in dtypes[1:]:
        name = _JOIN[name, dtype.name]
    return BY_NAME[DEFAULT.get(name, name)]
