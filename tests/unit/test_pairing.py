"""Which parameter is which where the file names none: believed by position, told by shapes or order, or not told."""

from __future__ import annotations

from intact.core.training import OptimizerGroup, OptimizerParameter, OptimizerState, Shape, Slot
from intact.pairing import Universe, pair

SHAPES: dict[str, Shape] = {"a.weight": (4, 4), "a.bias": (4,), "b.weight": (4, 4), "b.bias": (4,), "c.weight": (2, 4)}


def there(*groups: list[Shape | None], slot: str = "exp_avg") -> OptimizerState:
    """Returns an optimizer of a file with state of these shapes; None for a parameter without state."""
    parameters = tuple(
        OptimizerParameter(state={slot: Slot("float32", shape)} if shape is not None else {})
        for group in groups
        for shape in group
    )
    return OptimizerState("", _grouped([len(group) for group in groups]), parameters)


def here(*groups: list[str]) -> OptimizerState:
    """Returns a live optimizer of parameters by name."""
    parameters = tuple(OptimizerParameter(name, SHAPES[name]) for group in groups for name in group)
    return OptimizerState("Adam", _grouped([len(group) for group in groups]), parameters)


def _grouped(sizes: list[int]) -> tuple[OptimizerGroup, ...]:
    begin, groups = 0, []
    for size in sizes:
        groups.append(OptimizerGroup({}, tuple(range(begin, begin + size))))
        begin += size
    return tuple(groups)


def names(found: OptimizerState, expected: OptimizerState) -> dict[str, int] | None:
    """Returns name to position in the file, None where it cannot be told."""
    pairing = pair(found, expected, Universe(SHAPES, frozenset(SHAPES)))
    if pairing.known_by == "unknown":
        return None
    return {expected.parameters[place].name: position for place, position in pairing.places.items()}


def of(*keys: str) -> list[Shape | None]:
    """Returns the shapes of parameters."""
    return [SHAPES[key] for key in keys]


ALL = list(SHAPES)
IN_ORDER = {name: position for position, name in enumerate(ALL)}


def test_position_is_believed_where_shapes_agree() -> None:
    """A script that did not change builds the same order; doubting it would be a false alarm for everybody."""
    assert names(there(of(*ALL)), here(ALL)) == IN_ORDER


def test_parameters_without_state_fit_anywhere() -> None:
    """Frozen ones have none."""
    assert names(there([None, None, *of(*ALL[2:])]), here(ALL)) == IN_ORDER


def test_factored_state_is_no_evidence_of_another_order() -> None:
    """Rows of a matrix have not its shape."""
    assert names(there([(4,), (4,), (4,), (4,), (2,)], slot="row"), here(ALL)) == IN_ORDER


def test_distinct_shapes_tell_any_order() -> None:
    """Only one order has them."""
    mixed = ["c.weight", "a.bias", "a.weight"]
    assert names(there(of(*mixed)), here(["a.weight", "c.weight", "a.bias"])) == {"c.weight": 0, "a.bias": 1, "a.weight": 2}


def test_the_order_of_the_model_tells_equal_shapes_apart() -> None:
    """The file's optimizer held all parameters as the model defines them; the live one is the other way round."""
    assert names(there(of(*ALL)), here(ALL[::-1])) == IN_ORDER


def test_groups_by_kind_are_told_by_the_order_within_them() -> None:
    """Decay and no decay there, one group here: both were collected in the order of the model."""
    weights, biases = [n for n in ALL if n.endswith("weight")], [n for n in ALL if n.endswith("bias")]
    expected = {name: position for position, name in enumerate([*weights, *biases])}
    assert names(there(of(*weights), of(*biases)), here(ALL)) == expected
    assert names(there(of(*biases), of(*weights)), here(ALL)) == {n: i for i, n in enumerate([*biases, *weights])}


def test_a_free_order_of_equal_shapes_is_not_guessed() -> None:
    """Two matrices of one shape stand in an order that no rule made."""
    assert names(there(of("b.weight", "c.weight", "a.bias", "a.weight", "b.bias")), here(ALL)) is None


def test_some_of_the_parameters_are_told_where_there_is_one_way_only() -> None:
    """The file's optimizer trained the last layer, the live one trains all."""
    assert names(there(of("b.bias", "c.weight")), here(ALL)) is None  # either bias could be the first
    assert names(there(of("b.weight", "b.bias", "c.weight")), here(ALL)) is None
    assert names(there(of("a.weight", "a.bias", "b.weight", "b.bias")), here(["b.weight", "b.bias"])) == {
        "b.weight": 2,
        "b.bias": 3,
    }


def test_another_size_of_one_parameter_leaves_the_others_where_they_are() -> None:
    """A new head has other shapes, and position tells the rest."""
    found = there([*of(*ALL[:4]), (7, 4)])
    pairing = pair(found, here(ALL), Universe(SHAPES, frozenset(SHAPES)))
    assert (pairing.known_by, pairing.unfit) == ("position", (4,))


def test_names_win_over_positions_and_shapes() -> None:
    """Where the file has names, nothing else is asked."""
    found = OptimizerState("", _grouped([2]), (OptimizerParameter("b.weight"), OptimizerParameter("a.weight")))
    assert names(found, here(["a.weight", "b.weight"])) == {"a.weight": 1, "b.weight": 0}
