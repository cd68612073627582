"""The generators of random numbers that training draws from, as one object that can be saved and restored.

Dropout, shuffling and augmentation draw from the generators of Python, numpy and torch; a resumed run continues bit for bit only
where all of them continue. Numpy is asked only where the program has imported it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

from intact.errors import IntactError


class RandomState:
    """The global generators of Python, numpy, torch and its CUDA devices; one object stands for all of them."""

    def state_dict(self) -> dict[str, Any]:
        """Returns the present states, as plain values and tensors."""
        import torch

        state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
        if "numpy" in sys.modules:
            state["numpy"] = _numpy_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the generators to states that were saved; what was not saved stays as it is.

        Raises:
            IntactError: They are no such states.
        """
        import torch

        before = self.state_dict()
        try:
            if "python" in state:
                version, internal, gauss = state["python"]
                random.setstate((version, tuple(internal), gauss))
            if "numpy" in state:
                _set_numpy_state(state["numpy"])
            if "torch" in state:
                torch.set_rng_state(state["torch"].cpu())
            for device, one in enumerate(state.get("cuda", ())[: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(one.cpu(), device)
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError) as error:
            if state is not before:
                self.load_state_dict(before)
            raise IntactError(f"these are no states of generators: {error}", help="save `intact.rng()` itself") from error

    def __repr__(self) -> str:
        """The call that makes it."""
        return "intact.rng()"


def rng() -> RandomState:
    """Returns the generators of random numbers as an object to save and load with the rest of the training state.

    Example:
        >>> intact.save({"model": model, "optimizer": optimizer, "rng": intact.rng()}, "run/step-7")
    """
    return RandomState()


def _numpy_state() -> dict[str, Any]:
    import numpy as np

    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "algorithm": str(name),
        "keys": [int(key) for key in keys],
        "position": int(position),
        "has_gauss": int(has_gauss),
        "gauss": float(gauss),
    }


def _set_numpy_state(state: Mapping[str, Any]) -> None:
    import numpy as np

    keys = np.array(state["keys"], dtype=np.uint32)
    np.random.set_state((state["algorithm"], keys, state["position"], state["has_gauss"], state["gauss"]))
