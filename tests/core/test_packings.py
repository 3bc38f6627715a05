"""Codes that other programs packed: recognised, named in one line, read back bit for bit with an explicit option."""

import json

import faiss
import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, load, search
from codelab.cli.main import main
from codelab.core.packings import PACKINGS, repacked


def drawn(bits, n=20, seed=0):
    return np.random.default_rng(seed).random((n, bits)) < 0.5


@pytest.mark.parametrize("bits", [1, 5, 8, 12, 64, 250])
@pytest.mark.parametrize("packing", PACKINGS)
def test_each_packing_gives_back_the_bits_and_drops_what_fills_the_last_byte(packing, bits):
    truth = drawn(bits)
    full = np.concatenate([truth, np.ones((20, -bits % 8), bool)], axis=1)  # pad bits are set
    packed = {
        "msb": lambda: np.packbits(full, axis=1),
        "lsb": lambda: np.packbits(full, axis=1, bitorder="little"),
        "signed": lambda: (np.packbits(full, axis=1) - 128).astype(np.int8),
        "text": lambda: ["".join(map(str, row.astype(int))) for row in truth],
    }[packing]()
    codes = Codes.from_packed(packed, bits, packing=packing)
    assert np.array_equal(codes.to_bits(), truth)
    if packing == "text":
        assert Codes.from_packed(packed, None, packing=packing).bits == bits


def test_sentence_transformers_binary_embeddings(tmp_path):
    quantization = pytest.importorskip("sentence_transformers.util.quantization")
    vectors = np.random.default_rng(0).normal(size=(30, 44)).astype(np.float32)
    signed = quantization.quantize_embeddings(vectors, precision="binary")
    assert np.array_equal(Codes.from_packed(signed, 44, packing="signed").to_bits(), vectors > 0)
    unsigned = quantization.quantize_embeddings(vectors, precision="ubinary")
    assert np.array_equal(Codes.from_packed(unsigned, 44).to_bits(), vectors > 0)


def test_usearch_compares_bits_packed_with_the_least_significant_first():
    index = pytest.importorskip("usearch.index")
    truth = drawn(64)
    packed = np.packbits(truth, axis=1, bitorder="little")
    found = index.Index(ndim=64, dtype="b1", metric="hamming")
    found.add(np.arange(20), packed)
    stored = np.stack([np.asarray(found.get(key)).view(np.uint8).ravel() for key in range(20)])
    assert np.array_equal(Codes.from_packed(stored, 64, packing="lsb").to_bits(), truth)


@pytest.mark.parametrize("bits", [5, 12, 64, 250])
def test_pgvector_writes_and_reads_our_codes(bits):
    from pgvector import Bit

    truth = drawn(bits)
    codes = Codes.from_packed([Bit(row).to_text() for row in truth], None, packing="text")
    assert codes.bits == bits
    assert np.array_equal(codes.to_bits(), truth)
    header = bits.to_bytes(4, "big")  # of PostgreSQL's binary format
    assert [Bit(row).to_binary() for row in truth] == [header + row.tobytes() for row in codes.packed]
    assert np.array_equal([Bit.from_binary(header + row.tobytes()).to_numpy() for row in codes.packed], truth)


def test_milvus_packs_the_most_significant_bit_first():
    """What its bulk writer makes of lists of 0 and 1, and the bytes of a binary vector, which it sends as they are."""
    validators = pytest.importorskip("pymilvus.bulk_writer.validators")
    truth = drawn(64)  # a binary vector of Milvus has a multiple of 8 bits
    theirs = np.array([validators.binary_vector_validator(row.astype(int).tolist(), 64) for row in truth], np.uint8)
    codes = Codes.from_packed(theirs, 64)
    assert np.array_equal(codes.to_bits(), truth)
    assert [validators.binary_vector_validator(row.tobytes(), 64) for row in codes.packed] == theirs.tolist()


def test_qdrant_gives_back_numbers_whose_signs_are_the_bits():
    """It quantises inside the server and gives out the vectors themselves: floats, not packed bits."""
    client_module = pytest.importorskip("qdrant_client")
    models = client_module.models
    vectors = np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32)
    client = client_module.QdrantClient(":memory:")
    how = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    for name, given, distance in (
        ("signs", vectors, models.Distance.COSINE),
        ("bits", (vectors > 0).astype(np.float32), models.Distance.MANHATTAN),
    ):
        size = models.VectorParams(size=12, distance=distance)
        client.create_collection(name, vectors_config=size, quantization_config=how)
        points = [models.PointStruct(id=i, vector=row.tolist()) for i, row in enumerate(given)]
        client.upsert(name, points)
        found = sorted(client.scroll(name, limit=20, with_vectors=True)[0], key=lambda point: point.id)
        codes = Codes.from_bits(np.array([point.vector for point in found]) > 0)
        assert np.array_equal(codes.to_bits(), vectors > 0)
    nearest = client.query_points("bits", (vectors[0] > 0).astype(float).tolist(), limit=20).points
    assert [point.score for point in nearest] == search(codes, codes[:1], k=20).distances[0].tolist()


@pytest.mark.parametrize("packing", ["msb", "lsb"])
def test_a_faiss_index_file(tmp_path, packing):
    truth = drawn(64)
    packed = np.packbits(truth, axis=1, bitorder="big" if packing == "msb" else "little")
    index = faiss.IndexBinaryFlat(64)
    index.add(packed)
    path = tmp_path / "codes.index"
    faiss.write_index_binary(index, str(path))
    codes = load(path, packing=packing)
    assert np.array_equal(codes.to_bits(), truth)
    again = faiss.IndexBinaryFlat(64)
    again.add(np.array(codes.packed))
    assert np.array_equal(again.search(np.array(codes.packed[:3]), 20)[0], index.search(packed[:3], 20)[0])
    with pytest.raises(UsageError, match=r"codes.index: a binary index of FAISS \(IBxF\); say packing=msb or lsb"):
        load(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="a FAISS index of 20 codes of 8 bytes, but 157 bytes of codes"):
        load(path, packing=packing)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match="a FAISS index of 20 bytes, too short for its header"):
        load(path, packing=packing)
    other = faiss.index_binary_factory(64, "BHNSW8")
    other.add(packed)
    faiss.write_index_binary(other, str(path))
    with pytest.raises(DataError, match=r"a FAISS index of kind IBH., expected IBxF, an IndexBinaryFlat"):
        load(path, packing=packing)


@pytest.mark.parametrize("form", ["{}", "B'{}'", "b'{}'", '"{}"', "[{}]", "{{{}}}"])
def test_lines_of_bits_as_databases_print_them(tmp_path, form):
    truth = drawn(12)
    digits = ["".join(map(str, row.astype(int))) for row in truth]
    inner = (", ".join(one) for one in digits) if form in ("[{}]", "{{{}}}") else digits
    path = tmp_path / "codes.txt"
    path.write_text("\n".join(form.format(one) for one in inner) + "\n")
    assert np.array_equal(load(path, packing="text").to_bits(), truth)
    with pytest.raises(UsageError, match=r"codes\.txt: a text file of 0 and 1; say packing=text"):
        load(path)


def test_a_text_file_of_one_bit_a_line_or_of_none(tmp_path):
    (tmp_path / "one.txt").write_text("1\n0\n")
    assert load(tmp_path / "one.txt", packing="text").to_bits().tolist() == [[True], [False]]
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"empty.txt: codes: row 0 is '', expected a text of 0 and 1"):
        load(tmp_path / "empty.txt", packing="text")


def test_an_index_of_another_kind_is_refused_at_once(tmp_path):
    index = faiss.IndexBinaryHNSW(16)
    index.add(np.zeros((9, 2), np.uint8))
    faiss.write_index_binary(index, str(tmp_path / "graph.faiss"))
    for packing in (None, "msb"):
        with pytest.raises(DataError, match=r"a FAISS index of kind IBH., expected IBxF, an IndexBinaryFlat"):
            load(tmp_path / "graph.faiss", packing=packing)


def test_each_trap_is_named_in_one_line(tmp_path):
    truth = drawn(12)
    msb, little = np.packbits(truth, axis=1), np.packbits(truth, axis=1, bitorder="little")
    signed = (msb - 128).astype(np.int8)
    padded = msb | np.uint8(1)
    np.save(tmp_path / "signed.npy", signed)
    np.save(tmp_path / "text.npy", np.array(["0101", "0011"]))
    for words, call in (
        ("signed bytes, as sentence-transformers' .* say packing=signed", lambda: Codes.from_packed(signed, 12)),
        ("signed bytes, as sentence-transformers' .* say packing=signed", lambda: load(tmp_path / "signed.npy")),
        ("pad bits set past bit 11: as if the least .*USearch.* packing=lsb", lambda: Codes.from_packed(little, 12)),
        ("pad bits set past bit 11: say packing=msb to drop them", lambda: Codes.from_packed(padded | 8, 12)),
        ("unpacked values of -1 and .1; use Codes.from_bits", lambda: Codes.from_packed(truth * 2 - 1, 12)),
        ("texts of 0 and 1, as pgvector .* packing=text", lambda: Codes.from_bits(["0101", "0011"])),
        ("texts of 0 and 1, as pgvector .* packing=text", lambda: load(tmp_path / "text.npy")),
        ("expects int8 .*, found uint8", lambda: Codes.from_packed(msb, 12, packing="signed")),
        ("row 1 has 3 bits, row 0 has 4", lambda: Codes.from_packed(["0101", "011"], None, packing="text")),
        (
            "row 1 is '01x1', expected a text of 0 and 1",
            lambda: Codes.from_packed(["0101", "01x1"], 4, packing="text"),
        ),
    ):
        with pytest.raises(DataError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="packing='big': expected one of msb, lsb, signed, text"):
        repacked(msb, 12, "big")
    for bits in (12.5, "12", True):
        with pytest.raises(UsageError, match=rf"bits={bits!r}: expected a whole number"):
            repacked(msb, bits, "msb")
    with pytest.raises(UsageError, match="bits=30: the codes have 2 bytes, for 9 to 16 bits"):
        repacked(msb, 30, "msb")
    Codes.from_bits(truth).save(tmp_path / "own.parquet")
    with pytest.raises(UsageError, match="these are codelab's own codes"):
        load(tmp_path / "own.parquet", packing="msb")


def test_the_command_line_takes_the_packing(tmp_path, capsys):
    truth = drawn(12, n=300)
    np.save(tmp_path / "signed.npy", (np.packbits(truth, axis=1) - 128).astype(np.int8))
    call = ["search", str(tmp_path / "signed.npy"), "--id", "3", "-k", "1", "--json"]
    assert main(call) == 1
    assert "packing=signed" in capsys.readouterr().err
    assert main([*call, "--packing", "signed", "--code-bits", "12"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["distance"] == 0
    assert main(["analyze", str(tmp_path / "signed.npy"), "--packing", "signed", "--code-bits", "12", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert np.allclose(report["bit_usage"]["p"], truth.mean(axis=0))
