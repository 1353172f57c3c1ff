"""What was recorded of other libraries' optimizers is what they compute today."""

import numpy as np
import pytest

from . import optimizers


@pytest.mark.parametrize("library", optimizers.SOURCES)
def test_the_record_is_theirs(library):
    pytest.importorskip(library)
    with np.load(optimizers.RECORDED) as recorded:
        own = {name: recorded[name] for name in recorded if name.startswith(f"{library}/")}
    found = dict(optimizers.SOURCES[library]())
    assert found.keys() == own.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, own[name], rtol=1e-6, atol=1e-6, err_msg=name)
