/** The pickle that torch 2.15 with NumPy 2.4 wrote for a checkpoint of many kinds of values. */

/**
 * `torch.save({"model": OrderedDict([("module._orig_mod.w", torch.arange(6.).reshape(2, 3))]), "epoch": 3,
 * "loss": np.float64(0.25), "count": np.int64(7), "arr": np.arange(3), "out": pathlib.PosixPath("/runs/a"),
 * "dd": defaultdict(list, {1: [2.5]}), "s": {5}, "sz": torch.Size([1, 2]), "dt": torch.float16, "big": 2**70,
 * "neg": -5, "nan": float("nan"), "by": b"\x00\xff", "args": argparse.Namespace(lr=1e-4, betas=(0.9, 0.999),
 * name="DiT", resume=None, device=torch.device("cuda:0")), "rng": torch.arange(3, dtype=torch.uint8),
 * "flag": np.bool_(True)}, path)`, of which this is `data.pkl`.
 */
export const entriesPickle = Uint8Array.from(
  Buffer.from(
    "gAJ9cQAoWAUAAABtb2RlbHEBY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnECKVJxA1gSAAAAbW9kdWxlLl9vcmlnX21vZC53cQRjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxBSgoWAcAAABzdG9yYWdlcQZjdG9yY2gKRmxvYXRTdG9yYWdlCnEHWAEAAAAwcQhYAwAAAGNwdXEJSwZ0cQpRSwBLAksDhnELSwNLAYZxDIloAilScQ10cQ5ScQ9zWAUAAABlcG9jaHEQSwNYBAAAAGxvc3NxEWNudW1weS5fY29yZS5tdWx0aWFycmF5CnNjYWxhcgpxEmNudW1weQpkdHlwZQpxE1gCAAAAZjhxFImIh3EVUnEWKEsDWAEAAAA8cRdOTk5K/////0r/////SwB0cRhiY19jb2RlY3MKZW5jb2RlCnEZWAkAAAAAAAAAAADDkD9xGlgGAAAAbGF0aW4xcRuGcRxScR2GcR5ScR9YBQAAAGNvdW50cSBoEmgTWAIAAABpOHEhiYiHcSJScSMoSwNoF05OTkr/////Sv////9LAHRxJGJoGVgIAAAABwAAAAAAAABxJWgbhnEmUnEnhnEoUnEpWAMAAABhcnJxKmNudW1weS5fY29yZS5tdWx0aWFycmF5Cl9yZWNvbnN0cnVjdApxK2NudW1weQpuZGFycmF5CnEsSwCFcS1oGVgBAAAAYnEuaBuGcS9ScTCHcTFScTIoSwFLA4VxM2gjiWgZWBgAAAAAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAABxNGgbhnE1UnE2dHE3YlgDAAAAb3V0cThjcGF0aGxpYgpQb3NpeFBhdGgKcTlYAQAAAC9xOlgEAAAAcnVuc3E7WAEAAABhcTyHcT1ScT5YAgAAAGRkcT9jY29sbGVjdGlvbnMKZGVmYXVsdGRpY3QKcUBjX19idWlsdGluX18KbGlzdApxQYVxQlJxQ0sBXXFER0AEAAAAAAAAYXNYAQAAAHNxRWNfX2J1aWx0aW5fXwpzZXQKcUZdcUdLBWGFcUhScUlYAgAAAHN6cUpjdG9yY2gKU2l6ZQpxS0sBSwKGcUyFcU1ScU5YAgAAAGR0cU9jdG9yY2gKZmxvYXQxNgpxUFgDAAAAYmlncVGKCQAAAAAAAAAAQFgDAAAAbmVncVJK+////1gDAAAAbmFucVNHf/gAAAAAAABYAgAAAGJ5cVRoGVgDAAAAAMO/cVVoG4ZxVlJxV1gEAAAAYXJnc3FYY2FyZ3BhcnNlCk5hbWVzcGFjZQpxWSmBcVp9cVsoWAIAAABscnFcRz8aNuLrHEMtWAUAAABiZXRhc3FdRz/szMzMzMzNRz/v987ZFocrhnFeWAQAAABuYW1lcV9YAwAAAERpVHFgWAYAAAByZXN1bWVxYU5YBgAAAGRldmljZXFiY3RvcmNoCmRldmljZQpxY1gEAAAAY3VkYXFkSwCGcWVScWZ1YlgDAAAAcm5ncWdoBSgoaAZjdG9yY2gKQnl0ZVN0b3JhZ2UKcWhYAQAAADFxaWgJSwN0cWpRSwBLA4Vxa0sBhXFsiWgCKVJxbXRxblJxb1gEAAAAZmxhZ3FwaBJoE1gCAAAAYjFxcYmIh3FyUnFzKEsDWAEAAAB8cXROTk5K/////0r/////SwB0cXViaBlYAQAAAAFxdmgbhnF3UnF4hnF5UnF6dS4=",
    "base64",
  ),
);
