"""The file is of another format.

## Cause

What was named is a file of something else: a GGUF file of llama.cpp, an ONNX graph, weights for Keras, arrays of numpy, an image
that stood in the wrong argument. `torch.load` shows the first byte of it ("invalid load key", "Unsupported operand 8") and
advises `weights_only=False`, which cannot help. The finding says which format it is, by its bytes and not by its name.

## Example

```python
import numpy as np
import torch
from safetensors.numpy import save_file

import intact

path = "weights.npy"
np.save(path, np.arange(4, dtype=np.float32))
report = intact.check(path)
```

## Fix

```python
save_file({"weight": np.load("weights.npy")}, "weights.safetensors")  # by a program that reads that format
path = "weights.safetensors"
report = intact.check(path)
```

## Look-alike

```python
path = "weights.onnx"  # only the name is of the other format
torch.save({"weight": torch.arange(4.0)}, path)
```

## Source

- https://github.com/mcmonkeyprojects/SwarmUI/issues/406
- https://github.com/WongKinYiu/yolov7/issues/476
- https://github.com/BlinkDL/AI-Writer/issues/5
- https://github.com/pytorch/examples/issues/169
"""

CODE = "file/foreign-format"
