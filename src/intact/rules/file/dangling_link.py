"""The checkpoint is a link to a file that is not there.

## Cause

The cache of a hub keeps every file once, as a blob, and a snapshot is a folder of links to blobs. A copy that keeps links as they
are (`cp -a`, an image build, a backup) takes the snapshot and leaves the blobs behind. Listing the folder still shows every name,
while loaders say that there is no such file.

## Example

```python
import os
import shutil

import torch
from safetensors.torch import save_file

import intact

os.makedirs("cache/blobs")
os.makedirs("cache/snapshot")
save_file({"weight": torch.ones(4)}, "cache/blobs/0a1b2c")
os.symlink("../blobs/0a1b2c", "cache/snapshot/model.safetensors")

path = shutil.copytree("cache/snapshot", "copied", symlinks=True)  # as `cp -a` does it
report = intact.check(path)
```

## Fix

```python
shutil.rmtree("copied")
path = shutil.copytree("cache/snapshot", "copied")  # as `cp -rL` does it: the files, not the links
report = intact.check(path)
```

## Look-alike

```python
path = "cache/snapshot"  # a link whose blob is there is as good as a file
```

## Source

- https://github.com/huggingface/huggingface_hub/pull/4550
- https://github.com/debpalash/VoiceStudio/pull/1056
- https://github.com/keiretsu-labs/kubernetes-manifests/pull/2517
"""

CODE = "file/dangling-link"
