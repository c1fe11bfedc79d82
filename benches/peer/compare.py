"""llama.cpp beside vv-eval: the same shape, TQ2_0 weights, in turn on one machine.

Needs Python 3.11 or later with llama-cpp-python 0.3.36 (built from source on the machine that is
measured), gguf 0.19 and numpy from PyPI, and the engine bench built by `cargo bench --no-run`:

    cargo bench --bench roofline --no-run
    python3 benches/peer/compare.py target/release/deps/roofline-… --rounds 5

Every round starts a fresh process of each engine, ours first in one round and second in the next.
Printed are medians and ranges of both, and of the ratios round by round.

The model is random: speed does not depend on the weights. Architecture `bitnet`, whose graph in
llama.cpp has SiLU for relu2; that costs it nothing that could be measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

SHAPES = {
    # hidden, intermediate, layers, heads, key heads, vocabulary
    "2b4t": (2560, 6912, 30, 20, 5, 128256),
    "tiny": (256, 768, 6, 8, 4, 4096),
}


def write_model(path, shape, head):
    """A random ternary model as llama.cpp reads it."""
    import gguf
    import numpy as np

    hidden, inter, layers, heads, kv_heads, vocab = SHAPES[shape]
    head_dim = hidden // heads
    rng = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "bitnet")
    writer.add_context_length(4096)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inter)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    letters = [chr(c) for c in range(33, 127)]
    tokens = letters + [f"<{i}>" for i in range(vocab - len(letters))]
    writer.add_token_list(tokens)
    writer.add_token_types([1] * vocab)
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    def ternary(name, rows, columns):
        blocks = rows * columns // 256
        data = np.empty((blocks, 66), dtype=np.uint8)
        # Digits 0 to 2 in every pair of bits.
        table = np.array(
            [a | b << 2 | c << 4 | d << 6 for a in range(3) for b in range(3) for c in range(3) for d in range(3)],
            dtype=np.uint8,
        )
        data[:, :64] = table[rng.integers(0, 81, (blocks, 64), dtype=np.uint8)]
        scale = np.float16(1 / np.sqrt(2 * columns / 3))
        data[:, 64:] = np.frombuffer(scale.tobytes(), dtype=np.uint8)
        writer.add_tensor(
            name,
            data.reshape(rows, columns // 256 * 66),
            raw_dtype=gguf.GGMLQuantizationType.TQ2_0,
        )

    table = (rng.standard_normal((vocab, hidden), dtype=np.float32) * 0.5).astype(np.float16)
    if head == "q8_0":
        quantized = gguf.quants.quantize(table.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor("token_embd.weight", quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor("token_embd.weight", table)
    ones = lambda n: np.ones(n, dtype=np.float32)
    writer.add_tensor("output_norm.weight", ones(hidden))
    for n in range(layers):
        block = f"blk.{n}."
        for norm, width in [("attn_norm", hidden), ("attn_sub_norm", hidden), ("ffn_norm", hidden), ("ffn_sub_norm", inter)]:
            writer.add_tensor(f"{block}{norm}.weight", ones(width))
        ternary(block + "attn_q.weight", hidden, hidden)
        ternary(block + "attn_k.weight", kv_heads * head_dim, hidden)
        ternary(block + "attn_v.weight", kv_heads * head_dim, hidden)
        ternary(block + "attn_output.weight", hidden, hidden)
        ternary(block + "ffn_gate.weight", inter, hidden)
        ternary(block + "ffn_up.weight", inter, hidden)
        ternary(block + "ffn_down.weight", hidden, inter)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure_peer(path, threads, prompts, generated):
    """Tokens per second of llama.cpp, in this process."""
    import llama_cpp

    started = time.perf_counter()
    model = llama_cpp.Llama(
        model_path=path,
        n_ctx=max(prompts) + generated + 8,
        n_batch=512,
        n_ubatch=512,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
        use_mmap=True,
    )
    result = {"load_s": time.perf_counter() - started}
    vocab = model.n_vocab()
    ids = lambda n: [i * 7919 % vocab for i in range(n)]
    for repeat in range(2):
        for n in prompts:
            model.reset()
            started = time.perf_counter()
            model.eval(ids(n))
            result[f"prefill_{n}"] = n / (time.perf_counter() - started)
        model.reset()
        model.eval(ids(128))
        started = time.perf_counter()
        for i in range(generated):
            model.eval([i * 7919 % vocab])
        result["decode"] = generated / (time.perf_counter() - started)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", nargs="?", help="the built `roofline` bench of vv-eval")
    parser.add_argument("--shape", choices=SHAPES, default="2b4t")
    parser.add_argument("--head", choices=["q8_0", "f16"], default="q8_0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    prompts = [128, 512] if options.shape == "2b4t" else [128]
    generated = 32 if options.shape == "2b4t" else 128
    if options.model:
        print(json.dumps(measure_peer(options.model, options.threads, prompts, generated)))
        return
    if not options.bench:
        parser.error("name the built bench")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.gguf")
        write_model(path, options.shape, options.head)
        common = ["--shape", options.shape, "--threads", str(options.threads)]
        peer = [sys.executable, __file__, *common, "--model", path]
        ours = [options.bench, options.shape, "--threads", str(options.threads), "--rounds", "3", "--json"]
        rounds = []
        for i in range(options.rounds):
            both = {}
            for name in ["ours", "peer"] if i % 2 == 0 else ["peer", "ours"]:
                command = ours if name == "ours" else peer
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                both[name] = json.loads(done.stdout.splitlines()[-1])
            rounds.append(both)
            print(json.dumps(both), file=sys.stderr)
    print(f"{options.shape}, {options.threads} threads, {options.rounds} rounds: median [range]")
    span = lambda values: f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
    for key in [*(f"prefill_{n}" for n in prompts), "decode"]:
        a = [r["ours"][key] for r in rounds]
        b = [r["peer"][key] for r in rounds]
        ratio = [x / y for x, y in zip(a, b)]
        print(f"{key:12} vv-eval {span(a)} tokens/s · llama.cpp {span(b)} tokens/s · ratio {span(ratio)}")
    for key in ["roofline_share", "bandwidth_gb_s", "batch_ratio", "prefill_gmac_s"]:
        print(f"{key:16} {span([r['ours'][key] for r in rounds])}")


if __name__ == "__main__":
    main()
