"""Small files do not fill memory: what they would take is compared with their size before anything is built."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

import codelab
from codelab import Codes, DataError, UsageError
from codelab.core.files import KEY, iter_codes
from codelab.core.limits import FLOOR, VARIABLE

MOST_MB = 600
"""By which a refusal may raise the peak of a process: texts are counted after they are read, `FLOOR` at a time."""

READ = """
import resource, sys, warnings
import codelab, timm
from codelab.core.files import iter_codes
from codelab.features.sources import open_features
from codelab.images.encoder import Encoder

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

for path in sys.argv[1:]:
    readers = [codelab.load, lambda path: list(iter_codes(path))] if path.endswith("parquet") else [codelab.load]
    for read in [Encoder.load] if path.endswith("safetensors") else readers:
        before = peak()
        try:
            read(path)
            said = "read"
        except codelab.CodelabError as error:
            said = str(error)
        print(peak() - before, said.replace("\\n", "LINE"), sep="\\t")
"""


def parquet(file, n, bits=8, head=None, **columns):
    """A file of n codes, all zero, as a stranger writes it: without a seal, and with texts that stand once."""
    width = bits // 8
    packed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), n, [None, pa.py_buffer(bytes(n * width))])
    head = {"format": 1, "bits": bits, "classes": [], **(head or {})}
    table = pa.table({"code": packed, **columns})
    with pq.ParquetWriter(file, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({KEY: json.dumps(head).encode()})
    return file


def repeated(text, n):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([text]))


def bombs(folder):
    def encoder(name, **config):
        header = {"format": 1, "kind": "encoder", "config": config}
        save_file({"a": torch.zeros(1)}, folder / name, metadata={"codelab": json.dumps(header)})

    encoder("hidden.safetensors", backbone="conv", hidden=40_000)
    encoder("giant.safetensors", backbone="vit_giant_patch14_dinov2")
    zeros = np.zeros((FLOOR // 256 + 1, 256), np.uint8)
    np.savez_compressed(folder / "wanted.npz", bits=zeros)
    parquet(folder / "rows.parquet", 12_000_000)
    parquet(folder / "text.parquet", 5400, id=repeated("x" * 1_000_000, 5400))
    lists = pa.ListArray.from_arrays(
        np.arange(21, dtype=np.int32) * 40, repeated("y" * 500_000, 800).cast(pa.string())
    )
    parquet(folder / "lists.parquet", 20, tags=lists)
    classes = [str(number) for number in range(50_000)]
    labels = pa.ListArray.from_arrays(np.arange(100_001, dtype=np.int32), np.zeros(100_000, np.int32))
    parquet(folder / "classes.parquet", 100_000, head={"multilabel": True, "classes": classes}, labels=labels)
    header = b"\x93NUMPY\x02\x00" + (20_000_000).to_bytes(4, "little")
    with zipfile.ZipFile(folder / "header.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("bits.npy", header + b" " * 20_000_000)
    return sorted(map(str, folder.iterdir()))


def test_small_files_do_not_fill_memory(tmp_path):
    files = bombs(tmp_path)
    done = subprocess.run([sys.executable, "-c", READ, *files], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == len(files) + 4  # each Parquet file is read twice
    for grown, said in rows:
        assert int(grown) < MOST_MB, said
        assert "LINE" not in said
        assert any(name in said for name in files)
        assert any(text in said for text in ("of memory", "do not fit", "a header of", "more than its size")), said


def test_an_entry_nobody_asked_for_is_not_read(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", bits=np.eye(8), unwanted=np.zeros(FLOOR + 1, np.uint8))
    script = READ.replace("codelab, timm", "codelab").replace("from codelab.images.encoder import Encoder", "")
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "c.npz")]
    grown, said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\t")
    assert said == "read\n"
    assert int(grown) < 100


def test_texts_that_repeat_are_read_where_they_fit(tmp_path):
    path = parquet(tmp_path / "c.parquet", 3000, path=repeated("p" * 3000, 3000), tone=repeated("dark" * 9000, 3000))
    codes = codelab.load(path)
    assert codes.items["tone"][2999].as_py() == "dark" * 9000
    assert sum(len(block) for block in iter_codes(path, rows=1000)) == 3000
    assert max(len(block) for block in iter_codes(path, rows=1000)) == 1000


def test_the_limit_is_a_variable(tmp_path, monkeypatch):
    path = tmp_path / "c.parquet"
    Codes.from_bits(np.eye(100)).save(path)
    monkeypatch.setenv(VARIABLE, "0.000001")
    with pytest.raises(DataError, match=r"100 rows would take .* of memory.*CODELAB_MOST_GB sets another limit"):
        codelab.load(path)
    np.savez(tmp_path / "c.npz", bits=np.eye(100))
    with pytest.raises(DataError, match=r"c\.npz: its entry 'bits' would take 80 kB"):
        codelab.load(tmp_path / "c.npz")
    monkeypatch.setenv(VARIABLE, "1")
    assert len(codelab.load(path)) == 100
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(UsageError, match="expected a number of GB above 0"):
            codelab.load(path)


def test_parts_are_counted_together(tmp_path, monkeypatch):
    for number in range(3):
        Codes.from_bits(np.zeros((2000, 256))).save(tmp_path / f"part-{number}.parquet")
    monkeypatch.setenv(VARIABLE, "0.00025")
    with pytest.raises(DataError, match="its parts would take"):
        codelab.load(tmp_path)
