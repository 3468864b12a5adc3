#!/usr/bin/env python3
# Makes the pictures in this folder and what Pillow makes of them (pip install pillow numpy):
# Resize of the shorter side with BILINEAR, then the middle, as torchvision's Resize and CenterCrop do.
# tests/unit/test_data_images.c compares the readers with it; its order is that of the files' names.
import os
import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(1)


def scene(h, w, c):
    y, x = np.mgrid[0:h, 0:w]
    planes = [127 + 90 * np.sin(x * (0.15 + 0.1 * k) + y * 0.21 * (k + 1)) + rng.normal(0, 12, (h, w)) for k in range(c)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def save(name, image, **how):
    path = os.path.join(here, "test", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image.save(path, **how)


def make():
    grey = Image.fromarray(scene(29, 43, 1)[:, :, 0])
    save("grey/bit1.png", grey.convert("1"))
    save("grey/deep16.png", Image.fromarray((scene(31, 31, 1)[:, :, 0].astype(np.uint16) * 257)))
    save("grey/plain.png", grey)
    save("grey/with_alpha.png", Image.merge("LA", (grey, Image.fromarray(scene(29, 43, 1)[:, :, 0]))))
    save("grey/jpeg.jpg", grey, quality=92)
    colour = Image.fromarray(scene(61, 37, 3))
    save("colour/plain.png", colour)
    save("colour/alpha.png", Image.fromarray(scene(24, 50, 4)))
    save("colour/palette.png", colour.quantize(17), transparency=3)
    save("colour/tiny.png", Image.fromarray(scene(3, 5, 3)))
    save("colour/wide.png", Image.fromarray(scene(4, 200, 3)))
    save("colour/baseline.jpg", colour, quality=90)
    save("colour/full.jpg", colour, quality=90, subsampling=0)
    save("colour/progressive.jpg", Image.fromarray(scene(40, 70, 3)), quality=85, progressive=True)
    save("colour/ink.jpg", Image.fromarray(scene(33, 33, 4), "CMYK"), quality=95)


def read(path, mode):
    im = Image.open(path)
    if im.mode.startswith("I"):  # 16 bits: Pillow would cut, not scale
        im = Image.fromarray(((np.asarray(im).astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8))
    im = im.convert("RGB") if im.mode in ("P", "CMYK") else im
    return im.convert(mode)


def fit(im, h, w, shorter):
    iw, ih = im.size
    if shorter:
        sw, sh = (shorter, int(shorter * ih / iw)) if iw <= ih else (int(shorter * iw / ih), shorter)
    elif h * iw >= w * ih:
        sw, sh = h * iw // ih, h
    else:
        sw, sh = w, w * ih // iw
    im = im.resize((sw, sh), Image.BILINEAR)
    top, left = int(round((sh - h) / 2.0)), int(round((sw - w) / 2.0))
    return np.asarray(im.crop((left, top, left + w, top + h)))


make()
classes = ["colour", "grey"]
names = [(k, f) for k, c in enumerate(classes) for f in sorted(os.listdir(os.path.join(here, "test", c)))]
for name, mode, h, w, shorter in [("rgb12", "RGB", 12, 12, 0), ("grey12", "L", 12, 12, 0), ("rgb14x10", "RGB", 10, 14, 16), ("rgb28", "RGB", 28, 28, 0)]:
    out = [fit(read(os.path.join(here, "test", classes[k], f), mode), h, w, shorter) for k, f in names]
    np.save(os.path.join(here, name + ".npy"), np.stack(out))
np.save(os.path.join(here, "labels.npy"), np.array([k for k, _ in names], dtype=np.int64))
