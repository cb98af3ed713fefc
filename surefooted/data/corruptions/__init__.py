"""Corruptions in five severities: the 19 types of CIFAR-10-C, of which the first 15 are those of ImageNet-C."""

from surefooted.data.corruptions.blurs import defocus_blur, gaussian_blur, zoom_blur
from surefooted.data.corruptions.digital import contrast, jpeg_compression, pixelate, saturate
from surefooted.data.corruptions.elastic import elastic_transform
from surefooted.data.corruptions.frost import frost
from surefooted.data.corruptions.glass import glass_blur
from surefooted.data.corruptions.motion import motion_blur
from surefooted.data.corruptions.noises import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from surefooted.data.corruptions.spatter import spatter
from surefooted.data.corruptions.weather import brightness, fog, snow

__all__ = [  # noqa: RUF022 - the official order
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
