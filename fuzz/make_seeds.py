#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus: a few small files for each target.

Run at the root of the repository with Python 3.11, nothing else: python3 fuzz/make_seeds.py
"""
import gzip
import io
import json
import os
import struct
import tarfile

OUT = os.path.join("fuzz", "corpus")


def save(target, name, data):
    os.makedirs(os.path.join(OUT, target), exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    assert len(data) < 8192, (target, name, len(data))  # `-max_len` of docs/fuzzing.md
    open(os.path.join(OUT, target, name), "wb").write(data)


# GGUF: one layer, 16 wide, so that a whole model fits.
HIDDEN, INTER, HEADS, KV = 16, 16, 2, 1
F32, F16, Q4_0, Q8_0, Q4_K, Q6_K, TQ1_0, TQ2_0, I2_S, Q2_0 = 0, 1, 2, 8, 12, 14, 34, 35, 36, 42
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_0: (32, 18), Q8_0: (32, 34), Q4_K: (256, 144),
         Q6_K: (256, 210), TQ1_0: (256, 54), TQ2_0: (256, 66), Q2_0: (64, 18)}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    if isinstance(v, bool):
        return struct.pack("<IB", 7, v)
    if isinstance(v, str):
        return struct.pack("<I", 8) + text(v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, list) and isinstance(v[0], str):
        return struct.pack("<IIQ", 9, 8, len(v)) + b"".join(map(text, v))
    if isinstance(v, list):
        return struct.pack("<IIQ", 9, 5, len(v)) + struct.pack(f"<{len(v)}i", *v)
    return struct.pack("<II", 4, v)


def gguf(keys, tensors, version=3):
    infos, body = b"", b""
    for name, dims, kind, data in tensors:
        infos += text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        infos += struct.pack("<IQ", kind, len(body))
        body += data + bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(text(k) + value(v) for k, v in keys.items()) + infos
    return head + bytes(-len(head) % 32) + body


def half(x):
    return struct.pack("<e", x)


def ternary(kind, n):
    """Weights of a pattern, or of zeros, in blocks of a type."""
    if kind == I2_S:
        return bytes((0x55, 0x19, 0x64, 0xA1)[i % 4] for i in range(n // 4)) + struct.pack("<f", 0.5) + bytes(28)
    if kind == Q4_0:
        return b"".join(half(0.5) + bytes((0x79, 0x88, 0x97, 0x98)[i % 4] for i in range(16)) for _ in range(n // 32))
    if kind == TQ2_0:
        return (bytes((0x55, 0x19, 0x64, 0xA1)[i % 4] for i in range(64)) + half(0.5)) * (n // 256)
    if kind == TQ1_0:
        return (bytes((0x55, 0x19, 0x64, 0xA1)[i % 4] for i in range(52)) + half(0.5)) * (n // 256)
    if kind == Q2_0:
        return (half(0.5) + bytes((0x55, 0x19, 0x64, 0xA1)[i % 4] for i in range(16))) * (n // 64)
    raise KeyError(kind)


def keys(arch, tokens, **more):
    out = {
        "general.architecture": arch, f"{arch}.context_length": 32, f"{arch}.embedding_length": HIDDEN,
        f"{arch}.block_count": 1, f"{arch}.feed_forward_length": INTER, f"{arch}.attention.head_count": HEADS,
        f"{arch}.attention.head_count_kv": KV, f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.freq_base": 10000.0,
        "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1,
    }
    if tokens:
        out |= {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": ["a b", "ab c"],
            "tokenizer.ggml.token_type": [3, 3] + [1] * (len(tokens) - 3) + [4],
        }
    return out | more


def tensors(arch, kind, n_vocab, scales=False, embedding=F16, hidden=HIDDEN, inter=INTER):
    floats = lambda n: struct.pack(f"<{n}f", *[1.0] * n)
    raw = floats(n_vocab * hidden) if embedding == F32 else half(0.25) * (n_vocab * hidden)
    if embedding == Q8_0:
        raw = (half(0.1) + bytes(range(32))) * (n_vocab * hidden // 32)
    out = [("token_embd.weight", [hidden, n_vocab], embedding, raw), ("output_norm.weight", [hidden], F32, floats(hidden))]
    kv = hidden // HEADS * KV
    for part in ["attn_norm", "ffn_norm"]:
        out.append((f"blk.0.{part}.weight", [hidden], F32, floats(hidden)))
    if arch != "llama":
        out.append(("blk.0.attn_sub_norm.weight", [hidden], F32, floats(hidden)))
        out.append(("blk.0.ffn_sub_norm.weight", [inter], F32, floats(inter)))
    for part, rows, width in [("attn_q", hidden, hidden), ("attn_k", kv, hidden), ("attn_v", kv, hidden),
                              ("attn_output", hidden, hidden), ("ffn_gate", inter, hidden), ("ffn_up", inter, hidden),
                              ("ffn_down", hidden, inter)]:
        of = I2_S if kind == Q4_0 and part not in ("attn_q", "attn_k") else kind  # or it would be too long
        out.append((f"blk.0.{part}.weight", [width, rows], of, ternary(of, rows * width)))
        if scales:
            out.append((f"blk.0.{part}.scale", [1], F32, struct.pack("<f", 0.5)))
    return out


def floats(kind, n):
    """Numbers that are not ternary."""
    values = [((i * i + 3 * i) % 17 - 8) / 16 for i in range(n)]
    return struct.pack(f"<{n}{'e' if kind == F16 else 'f'}", *values)


def whole(arch, of, hidden=8, inter=8, heads=2, kv=1, head_dim=4, table=F16, norm=F32, n_vocab=2):
    """A model without text; `of` gives the type of a projection of a width."""
    out = []

    def add(name, dims, kind):
        n = dims[0] * (dims[1] if len(dims) > 1 else 1)
        if kind == Q8_0:
            data = (half(0.1) + bytes(range(32))) * (n // 32)
        else:
            data = floats(kind, n) if kind in (F32, F16) else ternary(kind, n)
        out.append((name, dims, kind, data))
    add("token_embd.weight", [hidden, n_vocab], table)
    add("output_norm.weight", [hidden], norm)
    q, k = heads * head_dim, kv * head_dim
    gains = [("attn_norm", hidden), ("ffn_norm", hidden)]
    if arch.startswith("bitnet"):
        gains += [("attn_sub_norm", q), ("ffn_sub_norm", inter)]
    if arch == "qwen3":
        gains += [("attn_q_norm", head_dim), ("attn_k_norm", head_dim)]
    for part, width in gains:
        add(f"blk.0.{part}.weight", [width], norm)
    for part, rows, width in [("attn_q", q, hidden), ("attn_k", k, hidden), ("attn_v", k, hidden), ("attn_output", hidden, q),
                              ("ffn_gate", inter, hidden), ("ffn_up", inter, hidden), ("ffn_down", hidden, inter)]:
        add(f"blk.0.{part}.weight", [width, rows], of(width))
    shape = {f"{arch}.embedding_length": hidden, f"{arch}.feed_forward_length": inter, f"{arch}.attention.head_count": heads,
             f"{arch}.attention.head_count_kv": kv, f"{arch}.attention.key_length": head_dim,
             f"{arch}.attention.value_length": head_dim}
    return gguf(keys(arch, [], **shape), out)


def make_gguf():
    tokens = ["<s>", "</s>", "a", "b", "c", "ab", "abc", "Ġ", "Ġa", "<|eot_id|>"]
    n = len(tokens)
    bitnet, llama = "bitnet-b1.58", "llama"
    pre = {"tokenizer.ggml.pre": "llama-bpe"}
    save("gguf", "i2s", gguf(keys(bitnet, tokens, **pre), tensors(bitnet, I2_S, n)))
    save("gguf", "i2s-llama", gguf(keys(llama, tokens, **{"tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.add_bos_token": True}),
                                   tensors(llama, I2_S, n, embedding=F32)))
    # Types with blocks take rows of whole blocks.
    wide = lambda arch, width: {f"{arch}.embedding_length": width, f"{arch}.feed_forward_length": width}
    save("gguf", "q4_0-llama", gguf(keys(llama, [], **wide(llama, 32)), tensors(llama, Q4_0, 2, scales=False, hidden=32, inter=32)))
    save("gguf", "q8_0-embedding", gguf(keys("bitnet", [], **wide("bitnet", 32)),
                                        tensors("bitnet", I2_S, 3, embedding=Q8_0, hidden=32, inter=32)))
    json_tokenizer = {"tokenizer.huggingface.json": json.dumps(TOKENIZERS["wordlevel"])}
    save("gguf", "tokenizer-json", gguf(keys(bitnet, [], **json_tokenizer), tensors(bitnet, I2_S, n)))
    save("gguf", "template", gguf(keys(bitnet, tokens, **pre, **{
        "tokenizer.chat_template": "{{ bos_token }}{% for m in messages %}{{ m['content'] | trim }}{% endfor %}"}),
        tensors(bitnet, I2_S, n)))
    # Models that are not ternary, and masters of one that is.
    save("gguf", "plain-llama", whole("llama", lambda width: F16))
    save("gguf", "plain-qwen3", whole("qwen3", lambda width: Q8_0 if width == 32 else F16, hidden=32, inter=4, heads=1))
    save("gguf", "masters", whole(bitnet, lambda width: F16))
    # Rows of whole blocks of 256, as few as can be.
    for name, kind in [("tq1_0", TQ1_0), ("tq2_0", TQ2_0)]:
        save("gguf", name, whole(bitnet, lambda width: kind if width == 256 else I2_S, hidden=256, inter=2, heads=1, head_dim=2,
                                 table=Q8_0, norm=F16))
    # One tensor of every decoder.
    blocks = [(f"t{k}", [BLOCK[k][0], 2], k, bytes(range(BLOCK[k][1])) * 2) for k in BLOCK]
    save("gguf", "every-decoder", gguf({"general.architecture": "llama", "general.alignment": 32}, blocks))
    save("gguf", "values", gguf({"general.architecture": "qwen2", "a": [1, 2], "b": ["x", ""], "c": True, "d": 1.5}, [], 2))


def make_safetensors():
    def container(header, data):
        raw = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
        return struct.pack("<Q", len(raw)) + raw.encode() + data
    entry = lambda dtype, shape, begin, end: {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    save("safetensors", "two", container({"a": entry("U8", [2, 3], 0, 6), "b": entry("F32", [1], 6, 10)}, bytes(10)))
    save("safetensors", "every-dtype", container({
        "__metadata__": {"format": "pt"}, "u": entry("U8", [3], 0, 3), "h": entry("F16", [2], 3, 7),
        "b": entry("BF16", [1, 2], 7, 11), "f": entry("F32", [], 11, 15), "e": entry("F32", [0], 15, 15)}, bytes(range(15))))
    save("safetensors", "empty", container({}, b""))
    save("safetensors", "gap", container({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, bytes(3)))


ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
BASE = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": None}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
VOCABULARY = {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "c": 4, "ab": 5, "abc": 6, "Ġ": 7}
BPE = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
       "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": VOCABULARY, "merges": [["a", "b"], ["ab", "c"]]}
TOKENIZERS = {
    "bpe": BASE | {
        "added_tokens": [ADDED | {"id": 0, "content": "<s>"}, ADDED | {"id": 8, "content": "<|eot_id|>"}],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}| ?\\p{L}+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": False},
            BYTE_LEVEL]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "decoder": BYTE_LEVEL, "model": BPE},
    "bpe-old-merges": BASE | {
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": BPE | {"merges": ["a b", "ab c"], "byte_fallback": True, "unk_token": "a"}},
    "wordlevel": BASE | {"pre_tokenizer": {"type": "Whitespace"}, "model": {"type": "WordLevel", "vocab": {"ab": 0, "aa": 1, "?": 2}, "unk_token": "?"}},
    "unigram": BASE | {
        "pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["b", -1.5], ["ab", -2.0]], "byte_fallback": False}},
    "wordpiece": BASE | {
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"?": 0, "a": 1, "##b": 2}}},
}


def make_json():
    for name, tokenizer in TOKENIZERS.items():
        save("tokenizer", name, json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")))
    folder = os.path.join("tests", "fixtures")
    for name in ["direct", "inverse", "llama", "online"]:
        save("config", name, open(os.path.join(folder, f"bitnet-tiny-{name}", "config.json")).read())


def make_manifests():
    """Both forms, and the fields that are rarely there."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    flat = {"model_name": "m", "version": "v1.2.0-rc.1+b", "url": "repo:d/m.tar.gz",
            "sha256": "sha256:" + digest.upper(), "size_bytes": 3, "x_team": None}
    artifact = {"filename": "m.tar.gz", "url": "https://models.acme.dev:443/m.tar.gz?sig=1#x",
                "urls": ["http://[::1]:8080/m", "lfs:m.bin", "s3://b/k", "file:///srv/m"],
                "sha256": digest, "size_bytes": 3, "unpacked_bytes": 9, "strip_components": 1,
                "format": "tar.gz", "target_path_in_container": "/app/models/bitnet/"}
    listed = {"schema_version": 1, "model_name": "m", "version": "1.2",
              "release_date": "2025-05-01", "description": "câmera",
              "notes": "summarize_scene.py >= 2.1",
              "requires": {"summarize_scene": ">=2.1,<3"}, "artifacts": [artifact],
              "model_options": {"i2s_layout": 64, "max_load_perplexity": 17.50,
                                "quantization_mode": "offline", "stop_token_ids": [1, 2]}}
    save("manifest", "flat", json.dumps(flat))
    save("manifest", "list", json.dumps(listed, indent=2, ensure_ascii=False))


def make_archives():
    """Every format of Python's writer, with fixed times; one unpacked, the others as gzip."""
    for form, name in [(tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax"),
                       (tarfile.USTAR_FORMAT, "ustar")]:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for path, data in [("empty", b""), ("m" * 60 + "/" + "n" * 60, b"long")]:
                info = tarfile.TarInfo(path)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        # The padding up to a record says nothing.
        data = out.getvalue().rstrip(b"\0")
        data += b"\0" * (-len(data) % 512) + b"\0" * 1024
        if form == tarfile.GNU_FORMAT:
            save("archive", name, data)
        else:
            save("archive", name + ".gz", gzip.compress(data, mtime=0))


if __name__ == "__main__":
    make_gguf()
    make_safetensors()
    make_json()
    make_manifests()
    make_archives()
