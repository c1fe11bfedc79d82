"""How long it takes to install a large artifact, against the tools everyone has.

An archive of random weights is served from loopback. In turns, `vv-eval model install` fetches,
verifies, unpacks and flushes it, `curl | sha256sum` digests the same answer, and `tar x` unpacks
the same archive; the last two flush nothing. The ratio is that of the medians, ours over the sum of
both. Memory is the high water mark of the program, read from /proc while it runs.

    python3 benches/peer/install.py target/release/vv-eval [--rounds 5] [--bytes 1200000000]
                                    [--gzip] [--dir DIRECTORY]
"""

import argparse
import io
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time

MAX_RATIO = 1.3
MAX_MIB = 64
BLOCK = 1 << 20


class Random:
    """A safetensors file of one tensor of random bytes, readable once."""

    def __init__(self, n_bytes):
        tensor = {"w": {"dtype": "U8", "shape": [n_bytes], "data_offsets": [0, n_bytes]}}
        header = json.dumps(tensor).encode()
        self.head = len(header).to_bytes(8, "little") + header
        self.size = len(self.head) + n_bytes
        self.left = n_bytes
        self.random = random.Random(1)

    def read(self, n):
        out, self.head = self.head[:n], self.head[n:]
        n_random = min(n - len(out), self.left)
        self.left -= n_random
        return out + self.random.randbytes(n_random)


def write_archive(path, n_bytes, is_compressed):
    mode = {"mode": "w:gz", "compresslevel": 1} if is_compressed else {"mode": "w"}
    with tarfile.open(path, format=tarfile.USTAR_FORMAT, **mode) as tar:
        for name in ("config.json", "tokenizer.json"):
            entry = tarfile.TarInfo(name)
            entry.size = 2
            tar.addfile(entry, io.BytesIO(b"{}"))
        weights = Random(n_bytes)
        entry = tarfile.TarInfo("model.safetensors")
        entry.size = weights.size
        tar.addfile(entry, weights)


def serve(path):
    """Answers every request with a file; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection):
        with connection, open(path, "rb") as file:
            connection.recv(1 << 16)
            length = os.path.getsize(path)
            head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            connection.sendfile(file)

    def listen():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    return listener.getsockname()[1]


def fresh(path):
    """An empty directory, with nothing waiting to be written from before."""
    if os.path.exists(path):
        # Installed directories are read-only.
        subprocess.run(["chmod", "-R", "u+w", path], check=True)
        shutil.rmtree(path)
    os.mkdir(path)
    subprocess.run(["sync", "-f", path], check=True)
    return path


def peak_mib(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            lines = [line for line in status if line.startswith("VmHWM:")]
        return int(lines[0].split()[1]) / 1024 if lines else 0
    except OSError:
        return 0


def run(command):
    """Gives wall time in seconds and peak memory in MiB."""
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, peak_mib(child.pid))
        time.sleep(0.005)
    taken = time.monotonic() - begun
    if child.returncode:
        raise SystemExit(f"{command}: exit {child.returncode}")
    return taken, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=1_200_000_000)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--dir")
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory(dir=options.dir) as lab:
        name = "m.tar.gz" if options.gzip else "m.tar"
        archive = os.path.join(lab, name)
        write_archive(archive, options.bytes, options.gzip)
        url = f"http://127.0.0.1:{serve(archive)}/{name}"
        digest = subprocess.run(["sha256sum", archive], check=True, capture_output=True, text=True)
        artifact = {
            "filename": name,
            "url": url,
            "sha256": digest.stdout.split()[0],
            "size_bytes": os.path.getsize(archive),
            "target_path_in_container": "/app/models/bitnet",
        }
        manifest = os.path.join(lab, "model_manifest.json")
        with open(manifest, "w") as file:
            release = {"model_name": "bench", "version": "1.0.0", "description": "d"}
            json.dump(release | {"artifacts": [artifact]}, file)
        models, unpacked = os.path.join(lab, "models"), os.path.join(lab, "unpacked")

        def install():
            fresh(models)
            command = [program, "model", "install", "--smoke", "none"]
            return run(command + ["--models-dir", models, "--manifest", manifest])

        def peers():
            fresh(unpacked)
            digesting, _ = run(["sh", "-c", 'curl -sf "$0" | sha256sum', url])
            fresh(unpacked)
            unpacking, _ = run(["tar", "-xf", archive, "-C", unpacked])
            return digesting, unpacking

        rows = []
        for turn in range(options.rounds):
            # Who goes first changes.
            if turn % 2:
                digesting, unpacking = peers()
                installing, peak = install()
            else:
                installing, peak = install()
                digesting, unpacking = peers()
            rows.append((installing, digesting, unpacking, peak))
            print(
                f"round {turn + 1}: install {installing:.2f} s, peak {peak:.1f} MiB; "
                f"curl | sha256sum {digesting:.2f} s, tar x {unpacking:.2f} s",
                flush=True,
            )
        fresh(models)
        installing, digesting, unpacking = (
            statistics.median(row[i] for row in rows) for i in range(3)
        )
        peak = max(row[3] for row in rows)
        ratio = installing / (digesting + unpacking)
        print(
            f"{options.bytes} bytes, medians of {options.rounds}: install {installing:.2f} s, "
            f"curl | sha256sum {digesting:.2f} s, tar x {unpacking:.2f} s"
        )
        print(f"ratio {ratio:.2f} (at most {MAX_RATIO}), peak {peak:.1f} MiB (at most {MAX_MIB})")
        raise SystemExit(0 if ratio <= MAX_RATIO and peak <= MAX_MIB else 1)


if __name__ == "__main__":
    main()
