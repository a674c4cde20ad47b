#!/usr/bin/env python3
"""Times the authors' PyTorch code on the published CLEVR architecture, for comparison with `rawdiffusion bench`.

    git clone https://github.com/jsu27/decomp_diffusion
    python3 tools/compare_pytorch.py --reference decomp_diffusion --threads 2
    rawdiffusion bench --preset clevr --threads 2

Both print the median seconds of one step: the K = 4 factor evaluations of one image at 64 x 64, random weights. With
`--what train --batch 4` on both sides, of one training step: encoder, q-sample, the K factors, mean squared error of the
noise, backward, Adam, moving average.
OpenBLAS must be left to itself: a wrong OPENBLAS_CORETYPE, or more OpenBLAS threads than one beside PyTorch's own,
makes PyTorch several times slower, so this script unsets and sets both.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ["OPENBLAS_NUM_THREADS"] = "1"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--reference", required=True, help="clone of jsu27/decomp_diffusion")
parser.add_argument("--what", choices=("step", "train"), default="step")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--steps", type=int, default=8)
parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
args = parser.parse_args()

sys.path.insert(0, args.reference)
import torch  # noqa: E402
from decomp_diffusion.model.unet import UNetModel  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(0)
model = UNetModel(
    in_channels=3, model_channels=64, out_channels=3, num_res_blocks=2, attention_resolutions=(2, 4, 8),
    emb_dim=64, enc_channels=128, channel_mult=(1, 2, 3), num_head_channels=64, resblock_updown=True,
    num_components=4, image_size=64).train(args.what == "train")
x = torch.rand(args.batch, 3, 64, 64)
t = torch.full((args.batch,), 500.0)


def sample_step():
    with torch.no_grad():
        model(x, t, latent=latent)


def train_step():
    noise = torch.randn_like(x)
    loss = ((noise - model(0.7 * x + 0.7 * noise, t, latent=model.encode_latent(x))) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for mean, value in zip(average, model.parameters()):
            mean.lerp_(value, 0.001)


if args.what == "train":
    step = train_step
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    average = [value.detach().clone() for value in model.parameters()]
else:
    step = sample_step
    latent = torch.rand(args.batch, model.latent_dim_expand)

seconds = []
with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
seconds = seconds[2:]
print(json.dumps({
    "torch": torch.__version__, "what": args.what, "threads": args.threads, "batch": args.batch, "bf16": args.bf16,
    "median_seconds": round(statistics.median(seconds), 4), "min_seconds": round(min(seconds), 4),
    "max_seconds": round(max(seconds), 4),
    "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))
